"""The `springboard` command."""

import typer

from springboard.cli import ask, host, jobs, keys, releases
from springboard.cli.batch import batch
from springboard.cli.serve import serve
from springboard.cli.watch import watch
from springboard.cli.work import work

# Every option has a variable, for containers, where nobody types: SPRINGBOARD_SERVE_PORT is serve --port.
app = typer.Typer(
    help="A self-managed inference server for dive scoring.",
    no_args_is_help=True,
    context_settings={"auto_envvar_prefix": "SPRINGBOARD"},
)
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")
app.add_typer(releases.app, name="releases")
for command in (
    serve,
    work,
    watch,
    batch,
    ask.score,
    ask.top,
    host.deploy,
    host.rollback,
    host.check,
    host.upkeep,
    host.tidy,
):
    app.command()(command)


def main() -> None:
    """Run the command."""
    app()
