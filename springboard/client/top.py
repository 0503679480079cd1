"""`springboard top`: a running server's figures in the terminal, again and again."""

import time
from contextlib import suppress

from rich.console import Console
from rich.live import Live

from springboard.client.source import Away, Source
from springboard.client.view import View


def show(source: Source, url: str, console: Console, seconds: float, once: bool) -> None:
    """Draw once, after two looks `seconds` apart for the rates, or again and again until Ctrl-C.

    Raises `Away` with `once`; else a server that is away is told so and asked again.
    """
    view = View(url)
    if once:
        view.add(source.read())
        time.sleep(seconds)
        view.add(source.read())
        console.print(view)
        return
    with suppress(KeyboardInterrupt), Live(view, console=console, screen=True, auto_refresh=False) as live:
        while True:
            try:
                view.add(source.read())
            except Away as away:
                view.away = f"{away}\n\nAsking again every {seconds:g} s; Ctrl-C ends this."
            live.refresh()
            time.sleep(seconds)
