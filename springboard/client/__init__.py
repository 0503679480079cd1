"""Asks a running server from outside: `springboard score`, `springboard top`."""
