"""What EC2 has no room for, and what it refuses an account: as told by the tests.

`GET /standin/sold-out?g4dn.xlarge=us-west-1a,us-west-1b` (zones by type), and
`GET /standin/refuse?RunInstances=PendingVerification` (code by action); each replaces what was told before.
"""

from urllib.parse import parse_qsl

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends

_sold_out: dict[str, list[str]] = {}
_refused: dict[str, str] = {}

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
    zone = ec2_backends[DEFAULT_ACCOUNT_ID][region].get_subnet(form["SubnetId"]).availability_zone
    if zone not in _sold_out[kind]:
        return None
    says = f"We do not have sufficient {kind} capacity in the Availability Zone you requested: {zone}"
    return "500 Internal Server Error", _error("InsufficientInstanceCapacity", says)


def _error(code: str, says: str) -> bytes:
    error = f"<Errors><Error><Code>{code}</Code><Message>{says}</Message></Error></Errors>"
    return f"<Response>{error}<RequestID>1</RequestID></Response>".encode()
