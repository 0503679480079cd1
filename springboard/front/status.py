"""The endpoint as `GET /endpoints/{name}` tells it."""

from dataclasses import asdict

from springboard.front import schema
from springboard.front.front import Front
from springboard.front.metrics.record import Recent
from springboard.front.scheduling.lane import Lane


def describe(front: Front) -> schema.EndpointState:
    """Return the endpoint's state now."""
    queue, admission = front.queue, front.admission
    reason = front.why_not_ready()
    return schema.EndpointState(
        endpoint=front.name,
        status="Draining" if front.draining else "OutOfService" if reason else "InService",
        reason=reason,
        variants=[_describe(front, lane) for lane in queue.lanes.values()],
        shadow=_describe(front, queue.shadow) if queue.shadow else None,
        queue=schema.QueueState(
            queued=len(queue),
            in_flight=queue.busy,
            held_requests=admission.requests,
            held_bytes=admission.bytes,
            limits=front.endpoint.limits.model_dump(),
        ),
        jobs=_jobs(front),
        last_errors=[schema.LastError(**asdict(one)) for one in reversed(front.metrics.last_refused)],
    )


def _jobs(front: Front) -> schema.JobsState | None:
    figures, backlog = front.metrics.jobs, front.metrics.jobs.backlog
    if not figures.taking:
        return None
    return schema.JobsState(
        waiting=backlog.waiting if backlog else None,
        at_work=backlog.leased if backlog else None,
        dead=backlog.dead if backlog else None,
        oldest_seconds=backlog.oldest_seconds if backlog else None,
        workers=figures.workers,
    )


def _describe(front: Front, lane: Lane) -> schema.VariantState:
    recent = front.metrics.recent.get((lane.name, lane.served.release), Recent())
    total = sum(other.weight for other in front.queue.lanes.values() if other.living)
    return schema.VariantState(
        name=lane.name,
        release=lane.served.release,
        weight=lane.weight,
        share=lane.weight / total if total and lane.living else 0.0,
        workers=schema.WorkerState(
            ready=len(lane.workers.ready), total=lane.workers.total, reason=lane.reason
        ),
        in_flight=lane.busy,
        queued=front.queue.waiting(lane.name),
        attempts=recent.attempts,
        failed_attempts=recent.failed,
        error_rate=round(recent.error_rate(), 4),
        latency_seconds=recent.quantiles(),
    )
