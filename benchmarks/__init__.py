"""What is measured and how. Run from the project's root: python -m benchmarks.NAME."""
