"""Which request goes to which worker, when, and what happens if the worker dies."""
