"""Benchmarks, run by hand on a quiet machine; see docs/measurements.md."""
