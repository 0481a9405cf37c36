"""Benchmarks. Run one from the project's root: python -m benchmarks.NAME."""
