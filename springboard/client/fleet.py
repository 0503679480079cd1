"""The hosts of a fleet: what EC2 says of them, what the channel wants of them, what each says of itself."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from springboard.client.source import Away, Source
from springboard.client.view import View

# Asked at once; each has a few seconds.
_TOGETHER = 32
# EC2 and the channel are asked anew after so long; hosts at every look.
_ANEW_SECONDS = 15.0
_REQUESTS, _DURATION = "springboard_requests_total", "springboard_request_duration_seconds"


class FleetAway(Exception):
    """EC2 does not say which hosts there are; the message says why and what to do."""


@dataclass(frozen=True)
class Instance:
    """What EC2 says of a host; `launched` is in Unix time."""

    id: str
    name: str
    zone: str
    type: str
    spot: bool
    image: str
    state: str
    launched: float
    private: str
    public: str

    @classmethod
    def of(cls, said: dict[str, Any]) -> Self:
        """Read an instance of DescribeInstances."""
        tags = {tag["Key"]: tag["Value"] for tag in said.get("Tags", [])}
        return cls(
            id=said["InstanceId"],
            name=tags.get("Name", said["InstanceId"]),
            zone=said["Placement"]["AvailabilityZone"],
            type=said["InstanceType"],
            spot=said.get("InstanceLifecycle") == "spot",
            image=said["ImageId"],
            state=said["State"]["Name"],
            launched=said["LaunchTime"].timestamp(),
            private=said.get("PrivateIpAddress", ""),
            public=said.get("PublicIpAddress", ""),
        )


def instances(make: Callable[[], Any], deployment: str) -> list[Instance]:
    """Return a deployment's hosts that are not gone, by zone and name; `make` makes a client of EC2.

    Raises `FleetAway`.
    """
    filters = [
        {"Name": "tag:springboard:deployment", "Values": [deployment]},
        {"Name": "tag:springboard:role", "Values": ["serving"]},
        {
            "Name": "instance-state-name",
            "Values": ["pending", "running", "shutting-down", "stopping", "stopped"],
        },
    ]
    try:
        pages = list(make().get_paginator("describe_instances").paginate(Filters=filters))
    except (BotoCoreError, ClientError, ValueError) as error:
        raise FleetAway(
            f"EC2 does not say which hosts there are: {error}. Look at AWS_PROFILE, AWS_REGION or --region, "
            "and whether ec2:DescribeInstances is allowed"
        ) from error
    found = [said for page in pages for group in page["Reservations"] for said in group["Instances"]]
    return sorted(map(Instance.of, found), key=lambda one: (one.zone, one.name, one.id))


@dataclass(frozen=True)
class Row:
    """A host as it is told of; `rate` is requests a second, `gpu` the busy part of its GPUs, None: not known.

    `phase` is EC2's state of one that does not run; else `silent`, `draining`, `canary` with its share,
    `differs` from what the channel says, or `steady`.
    """

    id: str
    name: str
    zone: str
    type: str
    spot: bool
    image: str
    age_seconds: float
    phase: str
    release: str = ""
    status: str = ""
    ready: int | None = None
    workers: int | None = None
    rate: float | None = None
    p95_seconds: float | None = None
    gpu: float | None = None
    why: str = ""


class _Host:
    """One host's looks."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._view = View(url)
        self._state: dict[str, Any] = {}
        self._silent = self._hidden = ""

    def look(self, http: httpx.Client, endpoint: str) -> None:
        """Ask it once; what it does not answer is noted, and nothing is raised."""
        self._silent = self._hidden = ""
        try:
            self._state = _described(http, f"{self.url}/endpoints/{endpoint}")
        except Away as away:
            self._silent = str(away)
            self._view.samples.clear()
            return
        try:
            self._view.add(Source(http, self.url).read())
        except Away as away:
            self._hidden = str(away)
            self._view.samples.clear()

    def row(self, instance: Instance, wanted: str) -> Row:
        """Say what is known of it."""
        row = _unasked(instance)
        if self._silent:
            return Row(**{**row, "phase": "silent", "why": self._silent})
        variants = [one for one in self._state["variants"] if one["weight"]]
        shares = [f"{one['release']} {one['share']:.0%}" for one in variants]
        figures: dict[str, Any] = {
            "phase": _phase(self._state, wanted),
            "release": variants[0]["release"] if len(variants) == 1 else ", ".join(shares),
            "status": self._state["status"],
            "ready": sum(one["workers"]["ready"] for one in variants),
            "workers": sum(one["workers"]["total"] for one in variants),
            "why": self._state["reason"] or self._hidden,
        }
        if samples := self._view.samples:
            used = samples[-1].by("springboard_gpu_utilization_ratio", "gpu")
            figures["p95_seconds"] = self._view.quantile(0.95, _DURATION)
            figures["gpu"] = sum(used.values()) / len(used) if used else None
            figures["rate"] = self._view.rate(_REQUESTS) if len(samples) > 1 else None
        return Row(**{**row, **figures})


def _unasked(instance: Instance) -> dict[str, Any]:
    given = asdict(instance)
    kept = {name: given[name] for name in ("id", "name", "zone", "type", "spot", "image")}
    return {**kept, "phase": instance.state, "age_seconds": max(time.time() - instance.launched, 0.0)}


def _phase(state: dict[str, Any], wanted: str) -> str:
    if state["status"] == "Draining":
        return "draining"
    for one in state["variants"]:
        if one["name"] == "canary":
            return f"canary {one['share']:.0%}"
    differs = wanted and wanted not in {one["release"] for one in state["variants"]}
    return "differs" if differs else "steady"


def _described(http: httpx.Client, url: str) -> dict[str, Any]:
    """Return what a host says of its endpoint; raise `Away` with the reason in a few words."""
    try:
        answer = http.get(url)
        said = answer.json()
        if answer.status_code == 200:
            return {name: said[name] for name in ("status", "reason", "variants")}
        raise Away(f"{answer.status_code}: {said['error']['message']}")
    except httpx.HTTPError as error:
        raise Away(f"no answer from {url}: {str(error) or type(error).__name__}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Away(f"{answer.status_code} from {url}, which is no Springboard's answer") from error


@dataclass
class Fleet:
    """All hosts of an endpoint. `told` is what the last look could not learn of EC2 or of the channel.

    `listed` returns the instances or raises `FleetAway`, `channel` the release that the channel names, ""
    where there is none, or raises `Away`; `address` has {private}, {public}, {name}, {id}.
    """

    listed: Callable[[], list[Instance]]
    channel: Callable[[], str]
    http: httpx.Client
    endpoint: str
    address: str
    told: list[str] = field(default_factory=list)
    wanted: str = ""
    _instances: list[Instance] = field(default_factory=list)
    _hosts: dict[str, _Host] = field(default_factory=dict)
    _listed_at: float = float("-inf")

    def look(self) -> None:
        """Ask all that run; raise `FleetAway` only where EC2 never answered."""
        if time.monotonic() - self._listed_at >= _ANEW_SECONDS:
            self._ask_aws()
        running = {one.id: one for one in self._instances if one.state == "running"}
        self._hosts = {id_: self._hosts.get(id_) or _Host(self._url(one)) for id_, one in running.items()}
        with ThreadPoolExecutor(_TOGETHER) as pool:
            for _ in pool.map(lambda host: host.look(self.http, self.endpoint), self._hosts.values()):
                pass

    def rows(self) -> list[Row]:
        """Return one of each host, by zone and name."""
        return [
            self._hosts[one.id].row(one, self.wanted) if one.id in self._hosts else Row(**_unasked(one))
            for one in self._instances
        ]

    def document(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {
            "at": time.time(),
            "endpoint": self.endpoint,
            "channel": self.wanted or None,
            "told": self.told,
            "hosts": [asdict(row) for row in self.rows()],
        }

    def _ask_aws(self) -> None:
        told = []
        try:
            self._instances = self.listed()
        except FleetAway as away:
            if self._listed_at == float("-inf"):
                raise
            told.append(str(away))
        try:
            self.wanted = self.channel()
        except Away as away:
            told.append(str(away))
        self.told, self._listed_at = told, time.monotonic()

    def _url(self, one: Instance) -> str:
        return self.address.format(private=one.private, public=one.public, name=one.name, id=one.id)
