"""The `springboard` command; one file a command group."""

from springboard.cli.app import main

__all__ = ["main"]
