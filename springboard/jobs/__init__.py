"""Jobs: videos that nobody waits for. Their queue, where results go, and the worker between them."""
