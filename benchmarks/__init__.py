"""Measurements: time, memory, and what the recipes are worth."""
