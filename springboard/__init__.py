"""Springboard: the front of a self-managed inference server for dive scoring."""
