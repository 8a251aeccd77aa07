"""Preflight checks and parameterized pull benchmarks for container registries."""

__version__ = "0.1.0"
