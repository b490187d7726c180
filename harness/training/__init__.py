"""The stages of training: each a documented function from artifacts to an artifact."""
