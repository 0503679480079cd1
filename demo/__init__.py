"""The demo: rendered dives, the model trained on them, and one command that scores them."""
