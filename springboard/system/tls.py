"""TLS of clients."""

import ssl
from functools import cache

import httpx


@cache
def authorities() -> ssl.SSLContext:
    """Return by whom httpx verifies servers, as `verify`; it would load them for each client, in 33 ms."""
    return httpx.create_ssl_context()
