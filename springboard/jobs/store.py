"""Where results go: objects in S3, or files in a folder. Each is written once and never changed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from springboard.system.files import write_atomically, write_new

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONFIG = Config(
    connect_timeout=3,
    read_timeout=10,
    retries={"total_max_attempts": 2, "mode": "standard"},
    signature_version="s3v4",  # of presigned addresses, too
)
_S3 = "s3://"
# An hour: those of a role end with its credentials anyway.
_LONGEST_PUT = 3600
# Not 409 ConditionalRequestConflict: another writes there at the moment, and may yet fail. To be tried again.
_CONFLICTS = ("PreconditionFailed", "412")
_ABSENT = ("NoSuchKey", "404")


class StoreAway(Exception):
    """The place cannot be reached or refuses us; the message says why. Trying again may help."""


class Store:
    """Reads and writes places, `s3://BUCKET/KEY` or `/folder/file`. May be used from several threads."""

    def __init__(self, client: "S3Client | None" = None) -> None:
        """`client`: by default boto3's own settings make one, at the first place in S3."""
        self._made = client

    def put_new(self, place: str, content: bytes, media_type: str = "application/json") -> bool:
        """Write what was not there; False, and no change, where something was. Raises `StoreAway`."""
        if not place.startswith(_S3):
            try:
                return write_new(Path(place), content)
            except OSError as error:
                raise StoreAway(f"{place} cannot be written: {error.strerror}") from error
        bucket, key = _split(place)
        try:
            with _explained(place):
                self._client.put_object(
                    Bucket=bucket, Key=key, Body=content, ContentType=media_type, IfNoneMatch="*"
                )
        except FileExistsError:
            return False
        return True

    def put(self, place: str, content: bytes) -> None:
        """Write, whatever was there: for records alone, results are `put_new`. Raises `StoreAway`."""
        with _explained(place):
            if place.startswith(_S3):
                bucket, key = _split(place)
                self._client.put_object(Bucket=bucket, Key=key, Body=content, ContentType="application/json")
            else:
                write_atomically(Path(place), content.decode())

    def names(self, folder: str, suffix: str) -> Iterator[str]:
        """Yield the names of what lies directly in a folder and ends so, in no order. Raises `StoreAway`."""
        with _explained(folder):
            if not folder.startswith(_S3):
                with suppress(FileNotFoundError), os.scandir(folder) as entries:
                    yield from (one.name for one in entries if one.name.endswith(suffix))
                return
            bucket, prefix = _split(f"{folder}/")
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix, Delimiter="/"
            )
            for page in pages:
                names = (one["Key"].removeprefix(prefix) for one in page.get("Contents", []))
                yield from (name for name in names if name.endswith(suffix))

    def below(self, folder: str, after: str = "") -> Iterator[str]:
        """Yield the paths of all below a folder, always in the same order, those after one if given.

        Holds a page of S3's, or the names in one folder, at a time. Raises `StoreAway`.
        """
        with _explained(folder):
            if not folder.startswith(_S3):
                if not os.path.isdir(folder):
                    return
                yield from _files(folder, "", after.split("/") if after else [])
                return
            root = f"{folder.rstrip('/')}/"
            for place in self.beginning(root, root + after if after else ""):
                yield place.removeprefix(root)

    def beginning(self, place: str, after: str = "") -> Iterator[str]:
        """Yield the places in S3 that begin like one, always in the same order, those after one if given.

        Holds a page at a time. Raises `StoreAway`.
        """
        bucket, prefix = _split(place)
        # Not the prefix itself, which may be an object's whole name.
        since: Any = {"StartAfter": _split(after)[1]} if after else {}
        with _explained(place):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix, **since
            )
            for page in pages:
                for one in page.get("Contents", []):
                    if not one["Key"].endswith("/"):  # what consoles show as a folder
                        yield f"{_S3}{bucket}/{one['Key']}"

    def get(self, place: str) -> bytes | None:
        """Return what is there, None where nothing is. Raises `StoreAway`."""
        try:
            with _explained(place):
                if not place.startswith(_S3):
                    return Path(place).read_bytes()
                bucket, key = _split(place)
                return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except FileNotFoundError:
            return None

    def has(self, place: str) -> bool:
        """Return whether something is there. Raises `StoreAway`."""
        try:
            with _explained(place):
                if not place.startswith(_S3):
                    return Path(place).exists()
                bucket, key = _split(place)
                self._client.head_object(Bucket=bucket, Key=key)
        except FileNotFoundError:
            return False
        return True

    def address_to_put(self, place: str, seconds: int) -> str:
        """Return a presigned URL that one object may be put to for so long. Raises `StoreAway`."""
        bucket, key = _split(place)
        with _explained(place):
            return self._client.generate_presigned_url(
                "put_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=min(seconds, _LONGEST_PUT)
            )

    def remove(self, place: str) -> None:
        """Remove what is there, if anything is. Raises `StoreAway`."""
        with _explained(place), suppress(FileNotFoundError):
            if place.startswith(_S3):
                bucket, key = _split(place)
                self._client.delete_object(Bucket=bucket, Key=key)
            else:
                Path(place).unlink()

    @property
    def _client(self) -> "S3Client":
        if self._made is None:
            self._made = boto3.client("s3", config=_CONFIG)
        return self._made


def _split(place: str) -> tuple[str, str]:
    bucket, _, key = place.removeprefix(_S3).partition("/")
    return bucket, key


def _files(root: str, path: str, after: list[str]) -> Iterator[str]:
    """Yield files below `root`/`path`, by the order of their steps, those past the steps of `after`."""
    for name in sorted(os.listdir(os.path.join(root, path))):
        if after and name < after[0]:
            continue
        step = f"{path}/{name}" if path else name
        on_the_way = bool(after) and name == after[0]
        full = os.path.join(root, step)
        if os.path.isdir(full) and not os.path.islink(full):
            yield from _files(root, step, after[1:] if on_the_way else [])
        elif os.path.isfile(full) and not (on_the_way and len(after) == 1):
            yield step


@contextmanager
def _explained(place: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        if code in _ABSENT:
            raise FileNotFoundError(place) from error
        if code in _CONFLICTS:
            raise FileExistsError(place) from error
        raise StoreAway(f"S3 refused {place} ({code}): {error}") from error
    except (BotoCoreError, HTTPError) as error:
        raise StoreAway(f"S3 cannot be reached for {place} ({type(error).__name__})") from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreAway(f"{place} cannot be read: {error.strerror}") from error
