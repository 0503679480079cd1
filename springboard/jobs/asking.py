"""What the front makes of a job: it is asked on loopback, behind everybody who waits."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from springboard.jobs.job import LOW, PRIORITY, WORK_SECONDS, Job, file_below

log = logging.getLogger("springboard.jobs")

# Beyond a job's own time: the front waits for a turn, and for S3.
_PATIENCE_SECONDS = 180.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
# Statuses that say nothing of the job: the front is full, or not ready, or we may not ask it.
_BUSY = (429, 503)
# Codes that come with other statuses, or with these, but tell of the front or of the job after all.
_OURS = ("not_authorized", "foreign_request")
_MEMORY = "out_of_memory"
# What another attempt may cure. Everything else is the video's or the caller's fault, or its time was up.
_FAULTS = (500, 502)


class Stopped(Exception):
    """The worker ends, and the job is not done."""


@dataclass(frozen=True)
class Answer:
    """What came of a job: a result in `content`, or the error's `code` and `message`."""

    content: bytes
    code: str = ""
    message: str = ""
    try_again: bool = False
    deadly: bool = False

    @classmethod
    def failure(cls, code: str, message: str, *, try_again: bool = False, deadly: bool = False) -> "Answer":
        """Return a failure, worded as real-time callers read it."""
        document = {"error": {"code": code, "message": message}}
        return cls(json.dumps(document).encode(), code, message, try_again, deadly)


EXPIRED = Answer.failure(
    "request_expired",
    "The job was not begun within its RequestTTLSeconds. Send it again, or with a longer time.",
)


class Asking:
    """Has jobs scored. `pause` sleeps so many seconds, and returns whether this worker ends meanwhile."""

    def __init__(
        self,
        front: str,
        token: str,
        inputs: tuple[str, ...],
        pause: Callable[[float], bool],
        path: str = "/invocations",
    ) -> None:
        """`front`: its URL; `token` shows that we are its own worker; `inputs`: folders for `file://`.

        `path` is where it scores.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Proxies of the environment are for elsewhere.
        self._client = httpx.Client(base_url=front, headers=headers, trust_env=False, limits=httpx.Limits())
        self._inputs = inputs
        self._pause = pause
        self._path = path

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def ready(self) -> bool:
        """Whether the front can have something scored."""
        try:
            return self._client.get("/ping", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def score(self, job: Job) -> Answer:
        """Return what came of a job. A front that is busy or away is asked again until the job expires.

        Raises `Stopped`.
        """
        if isinstance(body := self._body(job), Answer):
            return body
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = self._read(self._ask(job, *body))
            except httpx.HTTPError as error:
                log.warning("the front is away (%s); job %s waits", type(error).__name__, job.id)
                answer = None
            if answer is not None:
                return answer
            if job.expired:
                return EXPIRED
            if self._pause(pause):
                raise Stopped
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _ask(self, job: Job, content: bytes, content_type: str) -> httpx.Response:
        return self._client.post(
            self._path,
            content=content,
            headers={
                "Content-Type": content_type,
                PRIORITY: LOW,
                WORK_SECONDS: str(round(job.timeout)),
                "X-Amzn-SageMaker-Inference-Id": job.id,
            },
            timeout=httpx.Timeout(job.timeout + _PATIENCE_SECONDS, connect=5),
        )

    def _body(self, job: Job) -> tuple[bytes, str] | Answer:
        """Return a job's video, or its address in S3, which the front reads; or why neither can be had."""
        if job.body:
            return job.body, job.content_type or "application/octet-stream"
        if job.input.startswith("s3://"):
            return json.dumps({"s3_uri": job.input}).encode(), "application/json"
        if (path := file_below(job.input, self._inputs)) is None:
            return Answer.failure(
                "input_not_allowed", f"{job.input} is in none of the folders of async.inputs."
            )
        try:
            return path.read_bytes(), "application/octet-stream"
        except OSError as error:
            return Answer.failure("object_not_found", f"{job.input} cannot be read: {error.strerror}.")

    def _read(self, response: httpx.Response) -> Answer | None:
        """Return what a response says of the job, None where it says nothing of it."""
        if response.status_code == 200:
            return Answer(response.content)
        code, message = _error(response)
        if code in _OURS:
            log.error("the front does not know this worker (%s); see docs/async.md", code)
            return None
        if response.status_code in _BUSY and code != _MEMORY:
            return None
        again = response.status_code in _FAULTS or code == _MEMORY
        return Answer(response.content, code, message, again, deadly=code == "kills_workers")


def _error(response: httpx.Response) -> tuple[str, str]:
    try:
        error = response.json()["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "unknown", f"The front answered {response.status_code}."
