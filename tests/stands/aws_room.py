"""What EC2 has no room for, and what it refuses an account: as told by the tests.

`GET /standin/sold-out?g4dn.xlarge=us-west-1a,us-west-1b` (zones by type; code=C: says so by C),
`GET /standin/refuse?RunInstances=PendingVerification` (code by action) and
`GET /standin/end?g4dn.xlarge=Client.VolumeLimitExceeded` (what a type's instances end for at once);
each replaces what was told before.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import StateReason

_sold_out: dict[str, list[str]] = {}
_refused: dict[str, str] = {}
_ended: dict[str, str] = {}

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
SAYS = {
    "PendingVerification": "Your account is currently being verified.",
    "OptInRequired": "You are not subscribed to this service.",
    "Blocked": "This account is currently blocked and not recognized as a valid account.",
}


def tell(path: str, query: str) -> bool:
    """Take what a test says; False where the path is not for here."""
    told = dict(parse_qsl(query))
    if path == "/standin/sold-out":
        _sold_out.clear()
        _sold_out.update({kind: zones.split(",") for kind, zones in told.items()})
    elif path == "/standin/refuse":
        _refused.clear()
        _refused.update(told)
    elif path == "/standin/end":
        _ended.clear()
        _ended.update(told)
    else:
        return False
    return True


def find(region: str, form: dict[str, str]) -> tuple[str, bytes] | None:
    """Return the status and the body of EC2's refusal; None where it goes on."""
    action = form.get("Action", "")
    if code := _refused.get(action):
        return "400 Bad Request", _error(code, SAYS[code])
    kind = form.get("InstanceType", "")
    if action != "RunInstances" or kind not in _sold_out:
        return None
    zone = (
        ec2_backends[DEFAULT_ACCOUNT_ID][region]
        .get_subnet(form.get("SubnetId") or form["NetworkInterface.1.SubnetId"])
        .availability_zone
    )
    if zone not in _sold_out[kind]:
        return None
    says = f"We do not have sufficient {kind} capacity in the Availability Zone you requested: {zone}"
    code = _sold_out.get("code", ["InsufficientInstanceCapacity"])[0]
    return "500 Internal Server Error", _error(code, says)


def ending(run: Callable[..., Any]) -> Callable[..., Any]:
    """Have RunInstances end what it takes, as told.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html
    """

    def run_instances(*arguments: Any, **options: Any) -> Any:
        reservation = run(*arguments, **options)
        for instance in reservation.instances:
            if code := _ended.get(instance.instance_type):
                instance.terminate()
                instance.state_reason = StateReason(f"{code}: as the tests say", code)
        return reservation

    return run_instances


def _error(code: str, says: str) -> bytes:
    error = f"<Errors><Error><Code>{code}</Code><Message>{says}</Message></Error></Errors>"
    return f"<Response>{error}<RequestID>1</RequestID></Response>".encode()
