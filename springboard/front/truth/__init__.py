"""Judges' scores, joined with what was answered."""
