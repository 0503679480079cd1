"""The picture that `springboard top` draws."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from springboard.client.source import Sample

STAGES = ("queue", "s3", "fetch", "decode", "gate", "score")
# Rates are over at most this long, so that they follow what happens.
WINDOW_SECONDS = 30.0


@dataclass
class View:
    """What is shown: the last sample, rates since an older one, or why there is none."""

    url: str
    samples: list[Sample] = field(default_factory=list)
    away: str = ""

    def add(self, sample: Sample) -> None:
        """Show this sample from now on. A server that started anew starts the rates anew."""
        name = "springboard_requests_total"
        if self.samples and sample.total(name) < self.samples[-1].total(name):
            self.samples.clear()
        self.samples.append(sample)
        while sample.at - self.samples[0].at > WINDOW_SECONDS and len(self.samples) > 2:
            self.samples.pop(0)
        self.away = ""

    def rate(self, name: str, **labels: str) -> float:
        """Return a counter's increase a second over the window."""
        first, last = self.samples[0], self.samples[-1]
        return (last.total(name, **labels) - first.total(name, **labels)) / max(last.at - first.at, 1e-9)

    def quantile(self, share: float, name: str, **labels: str) -> float | None:
        """Return a histogram's quantile over the window, or since the start where that has nothing."""
        first, last = self.samples[0], self.samples[-1]
        buckets = last.by(f"{name}_bucket", "le", **labels)
        recent = {le: n - first.by(f"{name}_bucket", "le", **labels).get(le, 0) for le, n in buckets.items()}
        return quantile(share, recent) or quantile(share, buckets)

    def __rich__(self) -> RenderableType:
        """Draw it."""
        if self.away:
            return Panel(Text(self.away), title=f"springboard top   {self.url}", border_style="red")
        if not self.samples:
            return Text(f"asking {self.url} ...")
        return Group(
            _header(self),
            _variants(self),
            Padding(Group(_stages(self), Text(), _machine(self)), (0, 1)),
        )


def quantile(share: float, buckets: Mapping[str, float]) -> float | None:
    """Interpolate in cumulative buckets, as PromQL's histogram_quantile does; None without observations."""
    ordered = sorted((float(le), count) for le, count in buckets.items())
    if not ordered or not (total := ordered[-1][1]):
        return None
    low, below = 0.0, 0.0
    for high, count in ordered:
        if count >= share * total:
            if high == float("inf"):
                return low
            return low + (high - low) * (share * total - below) / max(count - below, 1e-9)
        low, below = high, count
    return low


def _header(view: View) -> RenderableType:
    last = view.samples[-1]
    name = next(iter(last.by("springboard_release_info", "endpoint")), "springboard")
    if last.total("springboard_draining"):
        status, colour = "Draining", "yellow"
    elif last.total("springboard_ready"):
        status, colour = "InService", "green"
    else:
        status, colour = "OutOfService", "red"
    top = Text.assemble((f" {name} ", "bold"), (f" {status} ", f"bold black on {colour}"), f"  {view.url}")
    if last.reason:
        top.append(f"\n {last.reason}", style=colour)
    total = view.rate("springboard_requests_total")
    failed = view.rate("springboard_requests_total", outcome="failed")
    refused = view.rate("springboard_requests_total", outcome="refused")
    figures = {
        "requests": (f"{total:.1f}/s", "bold"),
        "failed": (_share(failed, total), "bold red" if failed else "bold green"),
        "refused": (_share(refused, total), "bold"),
        "queued": (f"{last.total('springboard_queued'):.0f}", "bold"),
        "at work": (f"{last.total('springboard_in_flight'):.0f}", "bold"),
        "retries": (f"{view.rate('springboard_retries_total'):.1f}/s", "bold"),
    }
    whole, wait = "springboard_request_duration_seconds", "springboard_queue_wait_seconds"
    late = view.rate("springboard_attempts_total", outcome="late")
    times = {
        "answers p50": (said_seconds(view.quantile(0.5, whole)), "bold"),
        "p99": (said_seconds(view.quantile(0.99, whole)), "bold"),
        "waits p90": (said_seconds(view.quantile(0.9, wait)), "bold"),
        "oldest": (said_seconds(last.total("springboard_queue_oldest_seconds")), "bold"),
        "late": (f"{late:.1f}/s", "bold red" if late else "bold"),
    }
    return Group(top, Text(), *map(_line, filter(None, (figures, times, _jobs(view)))))


def _jobs(view: View) -> dict[str, tuple[str, str]]:
    """Return the line of asynchronous jobs, nothing where none are taken."""
    last = view.samples[-1]
    if "springboard_job_workers" not in last.metrics:
        return {}
    workers, dead = last.total("springboard_job_workers"), last.total("springboard_jobs_dead")
    waiting = last.total("springboard_jobs_waiting")
    seen = "springboard_jobs_waiting" in last.metrics
    oldest = said_seconds(last.metrics.get("springboard_jobs_oldest_seconds", {}).get(frozenset()))
    return {
        "jobs waiting": (f"{waiting:.0f}" if seen else "unknown", "bold" if seen else "bold red"),
        "at work": (f"{last.total('springboard_jobs_leased'):.0f}", "bold"),
        "dead": (f"{dead:.0f}", "bold red" if dead else "bold"),
        "oldest": (oldest, "bold"),
        "done": (f"{view.rate('springboard_jobs_total'):.1f}/s", "bold"),
        "workers": (f"{workers:.0f}", "bold" if workers else "bold red"),
    }


def _line(figures: Mapping[str, tuple[str, str]]) -> Text:
    return Text(" ") + Text("  ").join(Text.assemble(f"{name} ", figure) for name, figure in figures.items())


def _variants(view: View) -> RenderableType:
    table = Table(
        expand=True, box=SIMPLE_HEAD, header_style="bold cyan", padding=(0, 1, 0, 0), pad_edge=False
    )
    for name in ("variant", "release"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1, min_width=8)
    for name in ("share", "ready", "rate", "failed", "p50", "p90", "p99", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    last = view.samples[-1]
    weights = {
        tuple(dict(key)[n] for n in ("variant", "release")): value
        for key, value in last.metrics.get("springboard_variant_weight", {}).items()
    }
    for (variant, release), weight in weights.items():
        labels = {"variant": variant, "release": release}
        ready, workers = (
            last.total("springboard_workers_ready", **labels),
            last.total("springboard_workers", **labels),
        )
        rate = view.rate("springboard_attempts_total", **labels)
        failed = rate - view.rate("springboard_attempts_total", outcome="answered", **labels)
        scored = view.rate("springboard_score_points_count", **labels)
        points = view.rate("springboard_score_points_sum", **labels)
        table.add_row(
            variant,
            release,
            _share(weight, sum(weights.values())) if variant != "shadow" else "-",
            Text(f"{ready:.0f}/{workers:.0f}", style="green" if ready == workers > 0 else "bold red"),
            f"{rate:.1f}/s",
            Text(_share(failed, rate), style="red" if failed > 1e-6 else ""),
            *(
                said_seconds(view.quantile(q, "springboard_attempt_duration_seconds", **labels))
                for q in (0.5, 0.9, 0.99)
            ),
            f"{points / scored:.1f}" if scored else "-",
        )
    return table


def _stages(view: View) -> RenderableType:
    name = "springboard_stage_duration_seconds"
    sums = {stage: view.rate(f"{name}_sum", stage=stage) for stage in STAGES}
    total = sum(sums.values())
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=6, no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", min_width=4, no_wrap=True)
    table.add_column(justify="right", min_width=10, no_wrap=True)
    for stage in STAGES:
        if not view.samples[-1].total(f"{name}_count", stage=stage):
            continue
        table.add_row(
            stage,
            _bar(sums[stage] / total if total else 0.0, "cyan"),
            _share(sums[stage], total),
            f"p90 {said_seconds(view.quantile(0.9, name, stage=stage))}",
        )
    return table


def _machine(view: View) -> RenderableType:
    last = view.samples[-1]
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=6, no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    for label, name, per, unit in (("held", "requests", 1, "requests"), ("", "bytes", 1e6, "MB")):
        held = last.total(f"springboard_held_{name}") / per
        limit = last.total(f"springboard_held_{name}_limit") / per
        full = held / limit if limit else 0.0
        table.add_row(
            label, _bar(full, "red" if full > 0.8 else "green"), f"{held:.0f} of {limit:.0f} {unit}"
        )
    for gpu, used in sorted(last.by("springboard_gpu_utilization_ratio", "gpu").items()):
        memory = last.total("springboard_gpu_memory_used_bytes", gpu=gpu) / 1e9
        built_in = last.total("springboard_gpu_memory_total_bytes", gpu=gpu) / 1e9
        heat = last.total("springboard_gpu_temperature_celsius", gpu=gpu)
        watts = last.total("springboard_gpu_power_watts", gpu=gpu)
        held_by = [why for why, on in last.by("springboard_gpu_throttled", "reason", gpu=gpu).items() if on]
        text = f"{used:.0%}  {memory:.1f} of {built_in:.0f} GB  {heat:.0f} °C  {watts:.0f} W"
        table.add_row(
            f"GPU {gpu}", _bar(used, "cyan"), text + (f"  held by {', '.join(held_by)}" if held_by else "")
        )
    for gpu, lost in last.by("springboard_gpu_lost", "gpu").items():
        if lost:
            table.add_row(f"GPU {gpu}", Text("lost: NVML cannot read it", style="bold red"), "")
    return table


def _bar(share: float, colour: str) -> ProgressBar:
    # Full in its own colour: rich would paint that as finished.
    return ProgressBar(total=1.0, completed=min(share, 1.0), complete_style=colour, finished_style=colour)


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def said_seconds(value: float | None) -> str:
    """Return seconds for people; - for None."""
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
