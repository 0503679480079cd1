"""Other servers around the same `model_handler` core, for bench/compare.py."""
