"""A video's way through the queue to an answer: its deadline and its attempts."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from springboard.front.errors import DeadlineExceeded, KillsWorkers, ModelFailed, NotReady, Overloaded
from springboard.front.scheduling.lane import Lane, Ticket
from springboard.front.scheduling.queue import Queue
from springboard.front.scheduling.strikes import Strikes, digest_of, mark_of
from springboard.refusal import Refusal
from springboard.torchserve.client import Answer, AttemptFailed, HandlerRaised, ModelError, Video, WorkerDied

log = logging.getLogger("springboard.dispatch")

# One worker may die of anything; three in a row, with this body alone in them, died of it, unless another
# release has not had it yet.
STRIKES = 3
# A handler that failed will fail again, unless its worker or its release was the trouble: another try, at
# another release if there is one, is enough to tell.
RAISES = 2
# How long after the client's deadline TorchServe may sit on a request before its turn is taken away. Its
# responseTimeout is below the deadline, so only a TorchServe that lost the request gets here.
OVERTIME_SECONDS = 30.0


@dataclass(frozen=True)
class Scored:
    """An answer of the model, by whom, and the seconds the video waited for its turns."""

    answer: Answer
    variant: str
    release: str
    queued_seconds: float


@dataclass(frozen=True)
class Attempt:
    """One attempt as metrics count it.

    `outcome` is `answered`, `late` for an answer after the caller's deadline, or an `AttemptFailed.outcome`.
    `by_chance` says that weights chose the variant, neither caller nor strikes; `request` numbers requests;
    `mark` tells the video from others.
    """

    variant: str
    release: str
    outcome: str
    seconds: float
    again: bool
    by_chance: bool = False
    request: int = -1
    mark: bytes = b""
    answer: Answer | None = None


class Dispatcher:
    """Gets videos scored."""

    def __init__(
        self,
        queue: Queue,
        lost_worker: Callable[[Lane, AttemptFailed], None],
        record: Callable[[Attempt], None],
        waited: Callable[[float, str], None] = lambda seconds, outcome: None,
    ) -> None:
        """`lost_worker` is told at once of every failed attempt, `record` of every attempt.

        `waited` is told of every wait in the line: its seconds, and whether it ended by `turn`, was `refused`
        or the caller `left`.
        """
        self._queue = queue
        self._lost_worker = lost_worker
        self._record = record
        self._waited = waited
        self._strikes = Strikes()
        self._running: set[asyncio.Task[Answer]] = set()

    @property
    def running(self) -> int:
        """Attempts that TorchServe has, those whose client left among them."""
        return len(self._running)

    async def score(self, video: Video, ticket: Ticket) -> Scored:
        """Return the model's answer, of whatever status, before the ticket's deadline.

        `ticket.lane` tells afterwards who had the video last, also when this raises.

        Raises `Overloaded` or `NotReady` when the wait in the line is in vain, `DeadlineExceeded` when the
        deadline passes at work, `KillsWorkers`, `ModelFailed`, `UnknownVariant`.
        """
        try:
            async with asyncio.timeout_at(ticket.deadline) as patience:
                return await self._attempts(video, ticket, patience)
        except TimeoutError:
            raise self._too_late(ticket) from None

    async def _attempts(self, video: Video, ticket: Ticket, patience: asyncio.Timeout) -> Scored:
        queued, raised, again = 0.0, 0, False
        while True:
            await self._check_strikes(video, ticket)
            lane, waited = await self._turn(ticket, again)
            queued += waited
            if ticket.work_seconds is not None:
                ticket.deadline = asyncio.get_running_loop().time() + ticket.work_seconds
                patience.reschedule(ticket.deadline)
            served = lane.served
            # Shielded: TorchServe goes on with a request whose client left, so its turn is not over either.
            attempt = asyncio.create_task(self._attempt(video, lane, ticket, again))
            self._running.add(attempt)
            attempt.add_done_callback(self._running.discard)
            attempt.add_done_callback(_retrieve)
            ticket.at_work = True
            try:
                answer = await asyncio.shield(attempt)
            except AttemptFailed as failure:
                log.warning("attempt on %s failed, %s: %s", lane.name, failure.outcome, failure)
                raised += isinstance(failure, HandlerRaised)
                if raised == RAISES and isinstance(failure, ModelError):
                    return Scored(failure.answer, lane.name, served.release, queued)
                if raised == RAISES:
                    raise ModelFailed(f"The model failed on this video {RAISES} times.") from failure
                ticket.at_work = False
                ticket.alone |= isinstance(failure, WorkerDied)
                ticket.failed.add(lane)
                ticket.choice = None
                again = True
            else:
                return Scored(answer, lane.name, served.release, queued)

    async def _turn(self, ticket: Ticket, again: bool) -> tuple[Lane, float]:
        clock = asyncio.get_running_loop().time
        since, outcome = clock(), "left"
        try:
            lane = await self._queue.turn(ticket, again)
            outcome = "turn"
        except Refusal:
            outcome = "refused"
            raise
        finally:
            self._waited(clock() - since, outcome)
        return lane, clock() - since

    async def _attempt(self, video: Video, lane: Lane, ticket: Ticket, again: bool) -> Answer:
        clock = asyncio.get_running_loop().time
        variant, release, began = lane.name, lane.served.release, clock()
        shared = lane.workers.batch_size > 1 and not ticket.alone
        # Strikes steer a first attempt away from where the body killed.
        by_chance = ticket.pin is None and (again or not ticket.failed)
        outcome, answer = AttemptFailed.outcome, None
        deadline = ticket.deadline
        lane.pace.begin(began)
        try:
            answer = await lane.backend.predict(video, deadline - began + OVERTIME_SECONDS)
            outcome = "answered" if clock() <= deadline else "late"
        except AttemptFailed as failure:
            outcome = failure.outcome
            self._lost_worker(lane, failure)
            if isinstance(failure, WorkerDied) and not shared:
                self._strikes.add(await digest_of(video.body), release)
            raise
        finally:
            lane.pace.end(began, clock(), outcome in ("answered", "late", ModelError.outcome))
            self._queue.done(lane)
            spent, mark = clock() - began, mark_of(video.body)
            self._record(
                Attempt(variant, release, outcome, spent, again, by_chance, ticket.number, mark, answer)
            )
        if self._strikes:
            self._strikes.clear(await digest_of(video.body))
        return answer

    async def _check_strikes(self, video: Video, ticket: Ticket) -> None:
        if not self._strikes:  # nearly always: no hash to pay for
            return
        strikes = self._strikes.count(await digest_of(video.body))
        if not strikes:
            return
        ticket.alone = True
        lanes = self._queue.open_to(ticket)
        ticket.failed |= {lane for lane in lanes if lane.served.release in strikes}
        if strikes.total() >= STRIKES and all(lane.served.release in strikes for lane in lanes):
            raise KillsWorkers(
                f"This video ended {strikes.total()} workers one after the other, so it is refused for some "
                "minutes. Re-encode it, or send the request id to whoever runs this server."
            )

    def _too_late(self, ticket: Ticket) -> Exception:
        if ticket.at_work:
            return DeadlineExceeded("The model did not answer before the deadline.")
        pinned = self._queue.lanes.get(ticket.pin or "")
        if pinned and not pinned.living:
            reason = pinned.reason
            return NotReady(f"Variant {ticket.pin} was not ready before the deadline: {reason}.")
        if not self._queue.serving:
            return NotReady("No worker was ready before the deadline.")
        return Overloaded("The deadline passed while this request waited for a worker. Try again shortly.")


def _retrieve(task: asyncio.Task[Answer]) -> None:
    # An attempt whose client left ends unseen; asyncio would log its exception as never retrieved.
    if not task.cancelled():
        task.exception()
