"""Asks benchmarks through lmms-eval's Python API and writes down every answer."""
