"""What EC2 has of an instance's console: nothing for a while, then what cloud-init printed at the first boot.

`GET /standin/machine?address=10.213.1.11&keys=ssh-ed25519+AAAA` has an instance be a machine that is there: a
new elastic IP is the address of the first that nobody has, and the console of who gets it has these keys, one
a line.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html ; cloud-init's lines are
those of its tools/write-ssh-key-fingerprints, to a serial console, so that they end with CR LF.
"""

import base64
import hashlib
from urllib.parse import parse_qsl

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends, elastic_ip_addresses

_asked: dict[str, int] = {}
_machines: dict[str, list[str]] = {}  # their keys by their address

KINDS = ("ecdsa-sha2-nistp256", "ssh-ed25519", "ssh-rsa")
BOOT = """\
[    0.000000] Linux version 6.17.0-1009-aws (buildd@lcy02-amd64-051)
ci-info: no authorized SSH keys fingerprints found for user ubuntu.
<14>Nov 28 14:00:31 cloud-init: #############################################################
<14>Nov 28 14:00:31 cloud-init: -----BEGIN SSH HOST KEY FINGERPRINTS-----
<14>Nov 28 14:00:31 cloud-init: 256 SHA256:0 root@ip-10-77-0-10 (ED25519)
<14>Nov 28 14:00:31 cloud-init: -----END SSH HOST KEY FINGERPRINTS-----
<14>Nov 28 14:00:31 cloud-init: #############################################################
-----BEGIN SSH HOST KEY KEYS-----
{keys}
-----END SSH HOST KEY KEYS-----
[   31.212203] cloud-init[1422]: Cloud-init v. 25.2 finished at Sat, 28 Nov 2026 14:00:31 +0000.

ip-10-77-0-10 login: """


def _addresses() -> dict[str, str]:
    """Return the instance, or "", of each elastic IP."""
    backends = ec2_backends[DEFAULT_ACCOUNT_ID].values()
    found = (address for backend in backends for address in backend.addresses)
    return {one.public_ip: one.instance.id if one.instance else "" for one in found}


def _free() -> str:
    taken = _addresses()
    return next(address for address in _machines if address not in taken)


def keys(instance: str) -> list[str]:
    """Return an instance's public keys."""
    for address, bound in _addresses().items():
        if bound == instance and address in _machines:
            return _machines[address]
    return [
        f"{kind} {base64.b64encode(hashlib.sha256((instance + kind).encode()).digest()).decode()}"
        for kind in KINDS
    ]


def tell(path: str, query: str) -> bool:
    """Take what a test says; False where the path is not for here."""
    if path == "/standin/machine":
        told = dict(parse_qsl(query))
        _machines[told["address"]] = told["keys"].splitlines()
        setattr(elastic_ip_addresses, "random_ip", _free)  # noqa: B010 - mypy knows no assignment to it
    return path == "/standin/machine"


def find(form: dict[str, str]) -> tuple[str, bytes] | None:
    """Return the status and the body of EC2's answer; None to what is not about consoles."""
    if form.get("Action") != "GetConsoleOutput":
        return None
    instance = form["InstanceId"]
    _asked[instance] = _asked.get(instance, 0) + 1
    console = BOOT.format(keys="\n".join(f"{key} root@ip-10-77-0-10" for key in keys(instance)))
    raw = console.replace("\n", "\r\n").encode() if _asked[instance] > 1 else b""
    output = f"<output>{base64.b64encode(raw).decode()}</output>"
    body = f"<instanceId>{instance}</instanceId><timestamp>2026-11-28T14:01:00.000Z</timestamp>{output}"
    return "200 OK", f"<GetConsoleOutputResponse>{body}</GetConsoleOutputResponse>".encode()
