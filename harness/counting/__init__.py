"""A run's records become figures: counted results, their cache, metrics."""
