"""Intervals and tests; light: numpy and scipy only."""
