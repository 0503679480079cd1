"""Benchmarks, run by hand on a quiet machine; see README, Measurements."""
