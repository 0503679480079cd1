"""Who gets the traffic: writes endpoint.yml, and waits until the front does as it says."""

import time
from collections.abc import Callable, Sequence

import yaml

from springboard.deploy.figures import FrontAway, FrontFigures
from springboard.deploy.instances import Instance
from springboard.deploy.layout import Layout
from springboard.deploy.settings import Host
from springboard.endpoint.document import Endpoint, Served, Shadow, Variant
from springboard.system.files import write_atomically

_TAKE_OVER_SECONDS = 60.0
# What a request may take beyond its deadline; the front gives up on it then.
_OVERTIME_SECONDS = 40.0
_HEADER = "# Written by `springboard deploy` from host.yml and deployment.json; edits are lost.\n"

# Name, who serves it, percent.
Share = tuple[str, Instance, int]


class Traffic:
    """The endpoint of one host."""

    def __init__(self, layout: Layout, host: Host) -> None:
        self._path = layout.endpoint
        self.stable = host.variant
        self._host = host
        self.front = FrontFigures(host.front_url)
        self.shadow: Instance | None = None
        self.weight = 1
        # Not while a host boots and the front starts after us.
        self.front_runs = True
        self.beside: dict[str, tuple[Instance, int]] = {}

    def show(self, shares: Sequence[Share]) -> None:
        """Have the front serve these, and return when it does."""
        self._write(self._shared(shares))

    def pause(self, release: str) -> None:
        """Have requests wait in the front, up to their deadline: nobody listens on the discard port."""
        waiting = _variant(self.stable, Served(release=release, address="http://127.0.0.1:9"), 1)
        self._write([waiting, *self._others()])

    def would_change(self, shares: Sequence[Share]) -> bool:
        """Whether `show` would change anything."""
        return not self._is(self._shared(shares))

    def _shared(self, shares: Sequence[Share]) -> list[Variant]:
        """Return all that serves: percents are of the deployed release's share, where others have theirs."""
        others = self._others() if shares else []
        own = self.weight if others else 1
        return [*(_variant(name, one.served, percent * own) for name, one, percent in shares), *others]

    def _others(self) -> list[Variant]:
        # One whose name the deployed release shall have from now on leaves at once: names differ.
        others = {name: share for name, share in self.beside.items() if name != self.stable}
        return [_variant(name, one.served, 100 * weight) for name, (one, weight) in others.items()]

    def asked(self) -> set[str]:
        """Return the addresses that endpoint.yml has the front ask now."""
        try:
            found = Endpoint.model_validate(yaml.safe_load(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, yaml.YAMLError):
            return set()
        served: list[Served] = [*found.variants, *([found.shadow] if found.shadow else [])]
        return {one.address for one in served}

    def drained(self, say: Callable[[str], None]) -> None:
        """Return when no request is at a release that left the endpoint."""
        if not self.front_runs:
            return
        told = False
        try:
            for sample in self.front.wait(self._host.limits.deadline_seconds + _OVERTIME_SECONDS):
                if sample.modified == self._path.stat().st_mtime and not sample.retired_in_flight:
                    return
                if sample.retired_in_flight and not told:
                    say(f"waiting for {sample.retired_in_flight:.0f} requests to be answered")
                    told = True
        except FrontAway as error:
            say(f"not waiting for requests: {error}")

    def _write(self, variants: list[Variant]) -> None:
        if self._is(variants):
            return
        # Left out where it says nothing: a front from before it must be able to read the file.
        endpoint, fields = self._endpoint(variants), Endpoint.model_fields
        optional = ("cache", "cors", "page", "asynchronous", "capture", "truth", "aliases")
        unsaid = {name for name in optional if getattr(endpoint, name) == fields[name].default}
        document = endpoint.model_dump(mode="json", by_alias=True, exclude=unsaid)
        if jobs := document.get("async"):
            document["async"] = {name: value for name, value in jobs.items() if value is not None}
        for one in filter(None, [*document["variants"], document.get("shadow")]):
            if (reference := one["reference"]) and reference["error"] is None:
                del reference["error"]
        text = _HEADER + yaml.safe_dump(document, sort_keys=False)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, text)
        if variants and self.front_runs:
            self._wait_taken_over()

    def _is(self, variants: list[Variant]) -> bool:
        try:
            found = yaml.safe_load(self._path.read_text(encoding="utf-8"))
            return Endpoint.model_validate(found) == self._endpoint(variants)
        except (OSError, ValueError, yaml.YAMLError):
            return False

    def _endpoint(self, variants: list[Variant]) -> Endpoint:
        shadow, wanted = None, self._host.shadow
        if variants and self.shadow and wanted:
            shadow = Shadow(sample_percent=wanted.sample_percent, **self.shadow.served.model_dump())
        made = Endpoint(
            shadow=shadow,
            endpoint=self._host.endpoint,
            variants=tuple(variants),
            limits=self._host.limits,
            allowed_buckets=self._host.allowed_buckets,
            cors=self._host.cors,
            cache=self._host.cache,
            page=self._host.page,
            aliases=self._host.aliases,
            capture=self._host.capture,
            truth=self._host.truth,
        )
        return made.model_copy(update={"asynchronous": self._host.asynchronous})

    def _wait_taken_over(self) -> None:
        written = self._path.stat().st_mtime
        for sample in self.front.wait(_TAKE_OVER_SECONDS, patient=True):
            if sample.modified == written:
                return
            time.sleep(0.1)
        raise FrontAway(
            f"the front did not take over {self._path} within {_TAKE_OVER_SECONDS:g} s; "
            "see: journalctl -u springboard-front"
        )


def _variant(name: str, served: Served, weight: int) -> Variant:
    return Variant(name=name, weight=weight, **served.model_dump())
