"""The document that says what is served; deployments write it, the front reads it."""

from springboard.endpoint.document import load

__all__ = ["load"]
