"""Shared parts of the tests: data and media that they make, servers that they start, oracles, doubles, children."""
