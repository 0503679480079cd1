"""metrics.md: what /metrics has, from the registry itself."""

import asyncio
import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from docs.reference import front
from docs.reference.markdown import code, table
from springboard.auth import following
from springboard.deploy import follow, told, upkeep
from springboard.front import workermetrics
from springboard.system import textfile
from springboard.system.gpu_watch import GpuWatch


def page() -> str:
    """Return the page of metrics."""
    idle = front.idle()
    registry = idle.metrics.registry
    labels = _declared(registry)
    worker = text_string_to_metric_families(asyncio.run(workermetrics.collect(idle.queue.all_lanes)))
    return (
        "# Metrics\n\nWhat `GET /metrics` has, in Prometheus' text format. Names are stable; a histogram has "
        "the series `_bucket`, `_sum` and `_count`.\n\n"
        + _table([*_gpus(), *registry.collect()], labels)
        + "\nThe metrics `springboard_gpu_*` are there where NVML finds a GPU.\n\n## /metrics/torchserve\n\n"
        "Passes on what every TorchServe counts, with the labels `variant` and `release`, and tells of each "
        "whether it answered.\n\n"
        + _table(worker, {})
        + "\n## Node exporter's\n\nWhere node exporter is, `springboard deploy` and `rollback` have it tell "
        "how they ended, `springboard follow` and `springboard keys follow` when they looked, and "
        "`springboard upkeep` what waits.\n\n" + _table([*_deployments(), *_gauges()], {})
    )


def _deployments() -> Iterable[Metric]:
    known = {(name, outcome): 1.0 for name in told.ABOUT for outcome in told.OUTCOMES}
    return text_string_to_metric_families(told.page(known))


def _gauges() -> Iterable[Metric]:
    about = follow.ABOUT | following.ABOUT | upkeep.ABOUT
    return text_string_to_metric_families(textfile.page(dict.fromkeys(about, 1.0), about))


def _declared(registry: CollectorRegistry) -> dict[str, tuple[str, ...]]:
    """Return the labels of counters and histograms, which have no samples yet, by name."""
    collectors = set(registry._names_to_collectors.values())
    return {one._name: one._labelnames for one in collectors if isinstance(one, MetricWrapperBase)}


def _gpus() -> list[Metric]:
    """Return the metrics of GPUs: they are read in a thread, which runs in a front that serves."""
    with GpuWatch() as watch:
        for _ in range(1000):
            if metrics := list(watch.collect()):
                return metrics
            time.sleep(0.01)
    raise AssertionError("the stand-in for NVML does not answer")


def _table(metrics: Iterable[Metric], declared: dict[str, tuple[str, ...]]) -> str:
    rows = []
    for _, metric in sorted({metric.name: metric for metric in metrics}.items()):
        sampled = metric.samples[0].labels if metric.samples else {}
        labels = declared.get(metric.name) or tuple(sampled)
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        rows.append((code(name), metric.type, ", ".join(map(code, labels)), metric.documentation))
    return table(("metric", "type", "labels", "what it counts"), rows)
