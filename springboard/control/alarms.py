"""AutoRollbackConfiguration's alarms: alerts of monitoring/rules, as a Prometheus says that they fire."""

import time
from dataclasses import dataclass

import httpx

from springboard.deploy.canary import Rejected
from springboard.torchserve import transport

# Those of monitoring/rules, which do not come to hosts.
_ALERTS = """
SpringboardAlertsUndelivered SpringboardAvailabilityBurnsFast SpringboardAvailabilityBurnsSlowly
SpringboardCanaryFails SpringboardCanarySlow SpringboardCanaryStays SpringboardCertificateEnds
SpringboardCertificateExpires SpringboardChannelNotFollowed SpringboardClockOff SpringboardDeploymentFailed
SpringboardDiskFilling SpringboardDiskReadOnly SpringboardDraining SpringboardEndpointFileInvalid
SpringboardEveryCallerRefused SpringboardFrontGone SpringboardFrontRestarts SpringboardGateRefusalsSurge
SpringboardGpuHot SpringboardGpuLost SpringboardGpuMemoryFull SpringboardGpuMetricsGone
SpringboardGpuThrottled SpringboardGpuXidErrors SpringboardInodesFilling SpringboardJobsDead
SpringboardJobsNotFalling SpringboardJobsUnattended SpringboardKeysNotFollowed SpringboardLatencyBurnsFast
SpringboardLatencyBurnsSlowly SpringboardLiveError SpringboardMemoryLow SpringboardNoReadyWorker
SpringboardNothingDeployed SpringboardNothingScraped SpringboardOutOfMemory SpringboardPatchDue
SpringboardQueueFilling SpringboardRebootDue SpringboardReleasesDiffer SpringboardReloadFailed
SpringboardRetriesRising SpringboardScoreDrift SpringboardScrapeGone SpringboardStorageRefuses
SpringboardTmpfsFilling SpringboardTorchServeGone SpringboardTrafficStopped SpringboardUnitFailed
SpringboardUnreachable SpringboardUnreadableSurge SpringboardWatchdog SpringboardWorkersCrash
SpringboardWorkersMissing
"""
KNOWN = frozenset(_ALERTS.split())
_TIMEOUT_SECONDS = 5.0
_LOOK_SECONDS = 2.0
# A Prometheus that restarts is back by then.
_SILENT_SECONDS = 60.0


@dataclass(frozen=True)
class Prometheus:
    """One that has our rules; `url` is its root."""

    url: str

    def firing(self, endpoint: str) -> set[str]:
        """Return what fires of an endpoint, or of no endpoint in particular; raises `httpx.HTTPError`.

        Raises ValueError where the answer is none of Prometheus'.
        """
        url = f"{self.url.rstrip('/')}/api/v1/alerts"
        answer = transport.request("GET", url, timeout=_TIMEOUT_SECONDS)
        try:
            alerts = answer.raise_for_status().json()["data"]["alerts"]
            return {
                one["labels"]["alertname"]
                for one in alerts
                if one["state"] == "firing" and one["labels"].get("endpoint", endpoint) == endpoint
            }
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no answer of a Prometheus: {error!r}") from error


class Watch:
    """Looks, while a deployment goes on, whether one of its alarms fires."""

    def __init__(self, prometheus: Prometheus, endpoint: str, names: list[str]) -> None:
        self._prometheus, self._endpoint, self._names = prometheus, endpoint, set(names)
        self._looked = 0.0
        self._heard = time.monotonic()

    def look(self) -> None:
        """Raise `Rejected` where one fires, or nobody has said for a minute whether one does."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        try:
            firing = self._names & self._prometheus.firing(self._endpoint)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            if now - self._heard > _SILENT_SECONDS:
                raise Rejected(
                    f"whether its alarms fire is not known: {self._prometheus.url} does not answer ({error})"
                ) from error
            return
        self._heard = now
        if firing:
            raise Rejected(f"alarm: {', '.join(sorted(firing))} fires")
