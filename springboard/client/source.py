"""A running server's figures, from its /metrics."""

import time
from collections import defaultdict
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


class Away(Exception):
    """The server gave no figures; the message says what to do."""


@dataclass(frozen=True)
class Sample:
    """The server's figures at one moment: metrics by name and labels; why it is not ready, if it says so."""

    at: float
    metrics: dict[str, dict[Labels, float]]
    reason: str = ""

    def total(self, name: str, **labels: str) -> float:
        """Sum a metric's series with these labels."""
        wanted = set(labels.items())
        return sum(value for key, value in self.metrics.get(name, {}).items() if wanted <= key)

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Sum a metric's series with these labels, by the value of one more."""
        sums: dict[str, float] = defaultdict(float)
        for key, value in self.metrics.get(name, {}).items():
            if set(labels.items()) <= key:
                sums[dict(key).get(label, "")] += value
        return dict(sums)


class Source:
    """A server, asked again and again."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self._url = url

    def read(self) -> Sample:
        """Ask once; raise `Away`."""
        page = self._get("/metrics")
        if page.status_code == 403:
            raise Away(
                f"{self._url} does not show its metrics to you: run this on its own machine, or give --token "
                "(springboard keys create --bearer NAME) to a server with --metrics callers."
            )
        metrics: dict[str, dict[Labels, float]] = defaultdict(dict)
        try:
            page.raise_for_status()
            for family in text_string_to_metric_families(page.text):
                for sample in family.samples:
                    metrics[sample.name][frozenset(sample.labels.items())] = sample.value
        except (httpx.HTTPStatusError, ValueError) as error:
            raise Away(f"{self._url}/metrics shows no metrics; is it a Springboard?") from error
        ping = self._get("/ping")
        reason = _reason(ping) if ping.status_code == 503 else ""
        return Sample(time.monotonic(), dict(metrics), reason)

    def _get(self, path: str) -> httpx.Response:
        try:
            return self._client.get(self._url + path)
        except httpx.HTTPError as error:
            raise Away(
                f"{self._url} does not answer ({error}). Is the server running? springboard serve"
            ) from error


def _reason(answer: httpx.Response) -> str:
    """Return why the server is not ready; what stands before it may answer in words of its own."""
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, TypeError, KeyError):
        return f"{answer.status_code} {answer.reason_phrase}"
