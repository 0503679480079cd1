"""The `springboard` command."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

# Where each command is. A host runs one every few minutes, and few of them need all that a server does.
_COMMANDS = {
    "serve": "springboard.cli.serve:serve",
    "work": "springboard.cli.work:work",
    "watch": "springboard.cli.watch:watch",
    "batch": "springboard.cli.batch:batch",
    "score": "springboard.cli.ask:score",
    "top": "springboard.cli.ask:top",
    "deploy": "springboard.cli.host:deploy",
    "rollback": "springboard.cli.host:rollback",
    "check": "springboard.cli.host:check",
    "upkeep": "springboard.cli.host:upkeep",
    "tidy": "springboard.cli.host:tidy",
    "follow": "springboard.cli.host:follow",
    "agent": "springboard.cli.agent:agent",
    "transforms": "springboard.cli.transforms:transforms",
    "channel": "springboard.cli.channel:app",
    "fleet": "springboard.cli.fleet:fleet",
    "jobs": "springboard.cli.jobs:app",
    "keys": "springboard.cli.keys:app",
    "releases": "springboard.cli.releases:app",
    "endpoint": "springboard.cli.endpoints:app",
}


class _Imported(Mapping[str, Any]):
    """Commands by name, each imported when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        module, _, member = _COMMANDS[name].partition(":")
        found = getattr(import_module(module), member)
        if isinstance(found, typer.Typer):
            command: Any = get_group(found)
        else:
            alone = typer.Typer(add_completion=False)
            alone.command()(found)
            command = get_command(alone)
        command.name = name
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _Imported()


# Every option has a variable, for containers, where nobody types: SPRINGBOARD_SERVE_PORT is serve --port.
app = typer.Typer(
    cls=_Group,
    help="A self-managed inference server for dive scoring.",
    no_args_is_help=True,
    context_settings={"auto_envvar_prefix": "SPRINGBOARD"},
)


@app.callback()
def _springboard() -> None:
    pass


def main() -> None:
    """Run the command."""
    app()
