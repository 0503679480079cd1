"""Keys, and how callers prove who they are: SigV4 or a bearer token."""
