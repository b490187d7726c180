"""Trains vision-language reward models, judges them on benchmarks, and compares them honestly."""
