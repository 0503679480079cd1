"""The server that a command asks."""

import httpx

_EXAMPLE = "it should look like http://127.0.0.1:8080"


class WrongAddress(Exception):
    """An address that no server can have; the message says why."""


def address(url: str) -> str:
    """Return a server's address, without a slash at its end; raise `WrongAddress`."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise WrongAddress(f"{url!r} is no address ({error}); {_EXAMPLE}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise WrongAddress(f"{url!r} is no address; {_EXAMPLE}")
    return url.rstrip("/")
