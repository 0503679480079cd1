"""Who we are, as ARNs say it: a region and an account, which are names here and nothing more."""

import re
from dataclasses import dataclass

MODEL, CONFIG, ENDPOINT, TRANSFORM = KINDS = ("model", "endpoint-config", "endpoint", "transform-job")
SAID = {MODEL: "model", CONFIG: "endpoint configuration", ENDPOINT: "endpoint", TRANSFORM: "transform job"}
# Of one server; memory mostly ends before.
MOST_ENDPOINTS = 10
# Below an endpoint's path: all that a server of its own would have at its root.
FRONT = "/front"
_IDENTITY = re.compile(r"(?P<region>[a-z]{2}(-[a-z]+)+-\d):(?P<account>\d{12})")
_ARN = re.compile(
    r"arn:aws[a-z-]*:sagemaker:(?P<region>[a-z0-9-]*):(?P<account>\d{12}):(?P<kind>[^/]+)/(?P<name>[a-zA-Z0-9-]+)"
)


@dataclass(frozen=True)
class Identity:
    """The region and the account of all ARNs."""

    region: str = "us-east-1"
    account: str = "000000000000"

    @classmethod
    def parse(cls, text: str) -> "Identity":
        """Read `REGION:ACCOUNT`; raise ValueError, which says how it should look."""
        if not (found := _IDENTITY.fullmatch(text)):
            raise ValueError(f"expected REGION:ACCOUNT, as us-east-1:000000000000, found {text!r}")
        return cls(found["region"], found["account"])

    def arn(self, kind: str, name: str) -> str:
        """Return the ARN of a thing of one of `KINDS`."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name}"

    def named(self, arn: str) -> tuple[str, str] | None:
        """Return kind and name of an ARN of ours, None of another."""
        found = _ARN.fullmatch(arn)
        if not found or (found["region"], found["account"]) != (self.region, self.account):
            return None
        return (found["kind"], found["name"]) if found["kind"] in KINDS else None
