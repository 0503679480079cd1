"""The webhook: jobs' ends are posted to an operator's URL, signed, again and again until they are taken.

What is to be told lies in a queue of this machine's own, so that a worker that is killed forgets none.
"""

import hashlib
import hmac
import json
import logging
import ssl
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from localqueue import Empty, Job, LeaseExpired, LocalQueueError

from springboard.endpoint.asynchronous import Webhook
from springboard.jobs.addresses import NotAllowed, resolve
from springboard.jobs.local import open_simple

log = logging.getLogger("springboard.jobs")

SIGNATURE = "X-Springboard-Signature"
_TIMEOUT_SECONDS = 10.0
_LEASE_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 300.0
# Then the receiver is taken to be gone, and the message is kept as a dead letter.
_GIVE_UP_SECONDS = 24 * 3600.0
_KEEP_TOLD_SECONDS = 3600.0
_LOOK_SECONDS = 0.5
_LEAST_SECRET = 16


class Refused(Exception):
    """The message was not taken; the text says by whom and why."""


class Hooks:
    """Tells one URL what it is given, on a thread of its own."""

    def __init__(self, settings: Webhook, folder: Path, first_pause: float = _FIRST_PAUSE) -> None:
        """`folder` is for what is not yet told; `first_pause` in seconds after the first failure, then twice.

        Raises OSError and `LocalQueueError`.
        """
        self._settings = settings
        self._first_pause = first_pause
        self._queue = open_simple(folder, "webhook", _LEASE_SECONDS)
        # Certificates are checked; redirects are not followed, proxies of the environment are for elsewhere.
        self._client = httpx.Client(
            verify=ssl.create_default_context(),
            trust_env=False,
            follow_redirects=False,
            timeout=_TIMEOUT_SECONDS,
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is not told stays for the next one."""
        self._stopping.set()
        self._thread.join(_TIMEOUT_SECONDS + 2 * _LOOK_SECONDS)
        self._client.close()

    def tell(self, document: dict[str, Any], once: str) -> None:
        """Have a document told; the same `once` again is not told again for an hour. Raises as `__init__`."""
        self._queue.put(json.dumps({"at": time.time(), "document": document}).encode(), once)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._queue.purge(_KEEP_TOLD_SECONDS)
                while not self._stopping.is_set():
                    self._deliver(self._queue.get(timeout=_LOOK_SECONDS))
            except Empty:
                continue
            except (LocalQueueError, OSError, RuntimeError) as error:
                log.error("what the webhook is to be told cannot be read: %s", error)
                self._stopping.wait(_LONGEST_PAUSE)

    def _deliver(self, message: Job[bytes]) -> None:
        told = json.loads(message.data)
        job_id = told["document"]["inferenceId"]
        try:
            try:
                self._post(json.dumps(told["document"]).encode())
            except (Refused, NotAllowed, OSError, httpx.HTTPError) as error:
                self._again(message, told["at"], job_id, str(error) or type(error).__name__)
            else:
                self._queue.ack(message)
        except LeaseExpired:
            log.warning("the webhook may be told twice of job %s", job_id)

    def _again(self, message: Job[bytes], since: float, job_id: str, why: str) -> None:
        if time.time() > since + _GIVE_UP_SECONDS:
            log.error("the webhook was never told of job %s, and no longer will be: %s", job_id, why)
            self._queue.fail(message, why)
            return
        pause = min(self._first_pause * 2 ** min(message.attempts, 20), _LONGEST_PAUSE)
        log.warning("the webhook was not told of job %s, again in %g s: %s", job_id, pause, why)
        self._queue.nack(message, delay=pause, last_error=why)

    def _post(self, body: bytes) -> None:
        """Send to an address that was looked at, under the name that the certificate must have."""
        url = urlsplit(self._settings.url)
        host = url.hostname or ""
        port = url.port or (443 if url.scheme == "https" else 80)
        address = resolve(host, port, self._settings.networks)
        headers = {
            "Host": url.netloc,
            "Content-Type": "application/json",
            "User-Agent": "springboard",
            SIGNATURE: signature(_secret(self._settings), int(time.time()), body),
        }
        place, known = httpx.URL(self._settings.url).copy_with(host=address), {"sni_hostname": host}
        # What it says beside its status is not read: it may say it for ever.
        with self._client.stream("POST", place, content=body, headers=headers, extensions=known) as answer:
            if not answer.is_success:
                raise Refused(f"{host} answered {answer.status_code}")


def signature(secret: bytes, at: int, body: bytes) -> str:
    """Return what the header says: `at` in Unix time, and the HMAC-SHA256 of `AT.BODY` in hexadecimal."""
    digest = hmac.new(secret, b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def _secret(settings: Webhook) -> bytes:
    try:
        secret = Path(settings.secret_file).read_bytes().strip()
    except OSError as error:
        raise Refused(f"async.webhook.secret_file cannot be read: {error}") from error
    if len(secret) < _LEAST_SECRET:
        raise Refused(f"async.webhook.secret_file must have {_LEAST_SECRET} characters or more")
    return secret
