"""Brings a host from one release to another: plan, trial, traffic, undo."""
