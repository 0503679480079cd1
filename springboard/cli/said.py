"""How commands speak: results on stdout, one line of what went wrong on stderr, never a traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer


def fail(message: str, status: int = 2) -> NoReturn:
    """Say on stderr what went wrong, and end the command."""
    typer.echo(f"springboard: {message}", err=True)
    raise typer.Exit(status)


@contextmanager
def explained(*expected: type[Exception], status: int = 2) -> Iterator[None]:
    """Let `expected` errors end the command with their message."""
    try:
        yield
    except expected as error:
        fail(str(error), status)


def say(line: str) -> None:
    """Print a line at once; whoever read them may be gone."""
    try:
        print(line, flush=True)  # noqa: T201 - the command's output
    except OSError:
        # Otherwise Python complains at its end, and exits with 120.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
