"""The embedded default: a small visual world with known truth, a tiny judge and tiny experts."""
