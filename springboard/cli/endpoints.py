"""`springboard endpoint`: a control plane's endpoints by its documents, which its server follows."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from springboard.cli.said import fail, say
from springboard.control import shapes
from springboard.control.documents import Documents
from springboard.control.endpoints import BUSY, Endpoints
from springboard.control.errors import ControlError
from springboard.control.fleet import FleetEndpoints
from springboard.control.further import HostEndpoints
from springboard.control.lent import AsUser
from springboard.control.names import MODEL, Identity
from springboard.control.place import Place
from springboard.control.store import Prefix
from springboard.releases.manifest import ReleaseError
from springboard.system.files import lock

app = typer.Typer(
    help="List, describe, update and delete the endpoints of a control plane on this machine.",
    no_args_is_help=True,
)

Control = Annotated[
    str,
    typer.Option(
        envvar="SPRINGBOARD_SERVE_CONTROL",
        help="The folder of `springboard serve --control`; on a host /var/lib/springboard-control, on a "
        "fleet's s3://BUCKET/control/ENDPOINT.",
    ),
]
ControlAs = Annotated[
    str, typer.Option(envvar="SPRINGBOARD_SERVE_CONTROL_AS", help="REGION:ACCOUNT of its ARNs.")
]
Name = Annotated[str, typer.Argument(help="The endpoint's name.")]
_SOMEBODY = "us-east-1:000000000000"
_LOOK_SECONDS = 0.5


@app.command("list")
def list_endpoints(control: Control, control_as: ControlAs = _SOMEBODY) -> None:
    """List endpoints, each with its state and its configuration."""
    plane = _Plane(control, control_as)
    asked: dict[str, Any] = {"SortBy": "Name", "SortOrder": "Ascending", "MaxResults": 100}
    for one in plane.call("ListEndpoints", asked)["Endpoints"]:
        told = plane.call("DescribeEndpoint", {"EndpointName": one["EndpointName"]})
        parts = (one["EndpointName"], one["EndpointStatus"], told["EndpointConfigName"])
        say("\t".join(filter(None, (*parts, told.get("FailureReason", "")))))


@app.command()
def describe(name: Name, control: Control, control_as: ControlAs = _SOMEBODY) -> None:
    """Show an endpoint as DescribeEndpoint does, as JSON."""
    say(json.dumps(_Plane(control, control_as).call("DescribeEndpoint", {"EndpointName": name}), indent=2))


@app.command()
def update(
    name: Name,
    config: Annotated[str, typer.Argument(help="The endpoint configuration that it shall serve.")],
    control: Control,
    control_as: ControlAs = _SOMEBODY,
    deployment: Annotated[
        str, typer.Option("--deployment-config", help="SageMaker's DeploymentConfig, as JSON.")
    ] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when it serves; exit 1 where it does not.")
    ] = False,
) -> None:
    """Have an endpoint serve another configuration, as UpdateEndpoint does: its server carries it out."""
    plane = _Plane(control, control_as)
    asked: dict[str, Any] = {"EndpointName": name, "EndpointConfigName": config}
    try:
        asked |= {"DeploymentConfig": json.loads(deployment)} if deployment else {}
    except ValueError as error:
        fail(f"--deployment-config is no JSON: {error}")
    plane.call("UpdateEndpoint", asked)
    plane.warn()
    while wait:
        told = plane.call("DescribeEndpoint", {"EndpointName": name})
        if told["EndpointStatus"] not in BUSY:
            why = told.get("FailureReason", "")
            say("\t".join(filter(None, (name, told["EndpointStatus"], told["EndpointConfigName"], why))))
            raise typer.Exit(1 if why else 0)
        time.sleep(_LOOK_SECONDS)


@app.command()
def delete(name: Name, control: Control, control_as: ControlAs = _SOMEBODY) -> None:
    """Delete an endpoint, as DeleteEndpoint does: its server takes away what serves."""
    plane = _Plane(control, control_as)
    plane.call("DeleteEndpoint", {"EndpointName": name})
    plane.warn()


class _Plane:
    """The operations of SageMaker's API, without its wire."""

    def __init__(self, at: str, called: str) -> None:
        shared = at.startswith("s3://")
        self._at = at
        self._place = Place(Path(at).expanduser().resolve())
        self._hosted = shared or (self._place.root / MODEL).is_dir()  # what springboard agent follows
        found = self._place.root if self._hosted else self._place.documents
        if not (shared or found.is_dir()):
            fail(
                f"--control: {at} is no folder of a control plane; springboard serve --control makes "
                "one, and a host with springboard_control has /var/lib/springboard-control"
            )
        try:
            documents = Documents(Prefix(at) if shared else AsUser.of(found), Identity.parse(called))
        except ReleaseError as error:
            fail(f"--control: {error}")
        except ValueError as error:
            fail(f"--control-as: {error}")
        kind = FleetEndpoints if shared else HostEndpoints if self._hosted else Endpoints
        endpoints = kind(documents)
        self._operations = endpoints.operations

    def warn(self) -> None:
        """Say so where no server is at work in the folder."""
        if self._hosted:  # it is systemd's to have an agent there
            return
        with self._place.lock.open("a+") as held:
            if lock(held):
                nobody = f"no server is at work in {self._at}: it is done when one begins"
                typer.echo(f"springboard: {nobody}", err=True)

    def call(self, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Return an operation's answer, its times as text; end the command with what SageMaker says of it."""
        model = shapes.operation(name)
        assert model is not None  # noqa: S101 - it is one of ours
        try:
            answer = self._operations[name](shapes.checked(model.input_shape, asked))
        except (ControlError, ReleaseError) as error:
            fail(str(error), 1)
        told: dict[str, Any] = _dated(shapes.written(model.output_shape, answer))
        return told


def _dated(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: datetime.fromtimestamp(one, UTC).isoformat() if name.endswith("Time") else _dated(one)
            for name, one in value.items()
        }
    return [_dated(one) for one in value] if isinstance(value, list) else value
