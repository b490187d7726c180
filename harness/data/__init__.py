"""Benchmark items and preference pairs: read, checked and kept as canonical parquet tables."""
