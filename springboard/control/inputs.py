"""What a transform job reads, as its TransformInput says, and where the results go."""

import json
import re
from collections.abc import Collection, Iterator
from functools import cached_property

from springboard.control.errors import ControlError
from springboard.control.store import Document
from springboard.jobs.store import Store

# By S3DataType.
PREFIX, MANIFEST = "S3Prefix", "ManifestFile"
_PLACE = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/.*)?")


def bucket_of(place: object, called: str) -> str:
    """Return the bucket of a place in S3; raises `ControlError`, which says that `called` is none."""
    found = _PLACE.fullmatch(place) if isinstance(place, str) else None
    if found is None:
        raise ControlError(f"{called} must be s3://BUCKET/PREFIX.")
    return found["bucket"]


def check_bucket(bucket: str, buckets: Collection[str]) -> None:
    """Refuse a bucket that the server may not read; raises `ControlError`."""
    if bucket not in buckets:
        raise ControlError(
            f"This server may not read bucket {bucket!r}: serve with --allow-bucket {bucket} to have its "
            "videos scored."
        )


class Inputs:
    """The objects of an S3DataSource. All of it may block, and raises `StoreAway` and `ControlError`."""

    def __init__(self, store: Store, source: Document, buckets: Collection[str]) -> None:
        """`buckets` may be read."""
        self._store, self._buckets = store, buckets
        self.uri: str = source["S3Uri"]
        self._is_manifest = source["S3DataType"] == MANIFEST

    def places(self, after: str) -> Iterator[str]:
        """Yield their places, those after one if given."""
        if not self._is_manifest:
            yield from self._store.beginning(self.uri, after)
            return
        root, paths = self._manifest
        places = [root + path for path in paths]
        yield from places[places.index(after) + 1 if after else 0 :]

    def result(self, place: str, output: str) -> str:
        """Return where the result of an object goes: `.out` after its path below the prefix."""
        root = self._manifest[0] if self._is_manifest else self.uri
        path = place.removeprefix(root)
        if not root.endswith("/") and not path.startswith("/"):  # it is a part of a name
            path = place.removeprefix(root[: root.rindex("/") + 1])
        return f"{output.rstrip('/')}/{path.lstrip('/')}.out"

    @cached_property
    def _manifest(self) -> tuple[str, list[str]]:
        """The prefix and the paths of `[{"prefix": "s3://B/in/"}, "1.mp4", ...]`."""
        try:
            first, *paths = json.loads(self._store.get(self.uri) or b"")
            root = first["prefix"]
        except (ValueError, KeyError, TypeError):
            root, paths = None, []
        if not isinstance(root, str) or not all(isinstance(path, str) and path for path in paths):
            raise ControlError(
                f'{self.uri} is no manifest: [{{"prefix": "s3://BUCKET/PREFIX/"}}, "PATH", "PATH", ...]'
            )
        check_bucket(bucket_of(root, "The manifest's prefix"), self._buckets)
        return root, list(dict.fromkeys(paths))
