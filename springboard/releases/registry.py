"""The registry: releases in S3, whole or not there, and never changed.

`s3://BUCKET/releases/dive/X.Y.Z/` holds the archive and the golden clip under names with their checksums,
and, written last and only if absent, `manifest.json`: without it there is no release. Its signature, where
it has one, is `manifest-SHA256.sig` beside it.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO

from springboard.endpoint.names import MODEL, archive_name, is_release
from springboard.releases import manifest, signing
from springboard.releases.bucket import Bucket
from springboard.releases.copies import check_space, is_whole, objects, read
from springboard.releases.manifest import Manifest, ManifestError, ReleaseError
from springboard.system import files

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Registry:
    """The releases in one bucket. Credentials, region and endpoint are boto3's own business."""

    def __init__(self, models: str, client: "S3Client | None" = None, signers: Sequence[str] = ()) -> None:
        """`models` is `s3://BUCKET`; of `signers`, public keys, one must have signed what is read."""
        self._bucket = Bucket(models, client)
        self._signers = signers

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._bucket.name

    def url(self, version: str, name: str = "") -> str:
        """Return an object's address, for messages."""
        return self._bucket.url(_prefix(version) + name)

    def versions(self) -> list[str]:
        """Return the published versions, oldest first."""
        found = []
        for key in self._bucket.keys(f"releases/{MODEL}/"):
            version, _, name = key.removeprefix(f"releases/{MODEL}/").partition("/")
            # People put other things beside: copies, notes, half a version.
            if name == "manifest.json" and is_release(version):
                found.append(version)
        return sorted(found, key=manifest.order)

    def manifest(self, version: str) -> Manifest:
        """Return a release's manifest."""
        return self._parsed(version, self.manifest_bytes(version))

    def manifest_bytes(self, version: str) -> bytes:
        """Return a release's manifest as it was published."""
        if (text := self._object(version, "manifest.json")) is None:
            known = ", ".join(self.versions()[-5:]) or "none"
            raise ReleaseError(
                f"there is no release {version} in s3://{self.bucket}; the latest are: {known}"
            )
        self._check(version, text)
        return text

    def _check(self, version: str, text: bytes) -> None:
        if self._signers:
            signature = self._object(version, _signature_key(text))
            signing.verify(text, signature, self._signers, self.url(version, "manifest.json"))

    def verify(self, version: str) -> Manifest:
        """Read a release's archive and golden clip whole and compare their checksums."""
        found = self.manifest(version)
        for name, sha256 in objects(found):
            self._download(version, name, sha256, None)
        return found

    def fetch(self, version: str, releases: Path, ask: Callable[[], None] = lambda: None) -> bool:
        """Have a verified copy of the release in `releases/version`; return False where it was there already.

        It is written beside and renamed: a half copy is never taken for a whole one. `ask` is called at each
        chunk, and may raise.
        """
        folder = releases / version
        if is_whole(folder, version):
            # It may be from a time when no signature was asked for.
            self._check(version, read(folder / "manifest.json"))
            return False
        text = self.manifest_bytes(version)
        found = self._parsed(version, text)
        part = releases / f"{version}.part"
        for stale in (part, folder):
            shutil.rmtree(stale, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            check_space(part, found)
            names = (archive_name(version), found.golden_name)
            for (key, sha256), name in zip(objects(found), names, strict=False):
                self._download(version, key, sha256, part / name, ask)
            (part / "manifest.json").write_bytes(text)
            files.sync_folder(part)
            part.rename(folder)
            files.sync_folder(releases)
        except OSError as error:
            raise ReleaseError(f"{releases}: {error.strerror}, while fetching release {version}") from error
        finally:
            # Of a failure nothing stays; a success has been renamed by then.
            shutil.rmtree(part, ignore_errors=True)
        return True

    def copy(self, version: str, to: "Registry") -> bool:
        """Publish a release in another registry too; return False where the very same is there.

        It is compared with the manifest's checksums on the way, and keeps its signature.
        """
        with TemporaryDirectory() as folder:
            self.fetch(version, Path(folder))
            copied = Path(folder) / version
            archive = copied / archive_name(version)
            text = (copied / "manifest.json").rename(archive.with_suffix(".json")).read_bytes()
            golden = copied / self._parsed(version, text).golden_name
            return to.publish(archive, golden, signature=self._object(version, _signature_key(text)))

    def publish(
        self, archive: Path, golden: Path, sign: Path | None = None, signature: bytes | None = None
    ) -> bool:
        """Publish an archive with the manifest beside it; return False where the very same is published.

        With `sign` the manifest is signed by that key, also where it was published unsigned; `signature` is
        one that was made before. Of two
        publishers of one version exactly one wins; the other is told, and has changed nothing.
        """
        text = read(archive.with_suffix(".json"))
        found = manifest.parse(text, str(archive.with_suffix(".json")))
        _check_sources(found, archive, golden)
        version = found.version
        signature = signing.sign(text, sign) if sign else signature
        published = self._object(version, "manifest.json")
        if published not in (None, text):
            raise ReleaseError(_taken(version, self.bucket))
        if signature:
            self._put(version, _signature_key(text), signature)
        if published:
            return False
        for path, (key, _) in zip((archive, golden), objects(found), strict=True):
            with path.open("rb") as body:
                self._put(version, key, body)
        if self._put(version, "manifest.json", text):
            return True
        if self._object(version, "manifest.json") == text:
            return False
        raise ReleaseError(_taken(version, self.bucket))

    def _put(self, version: str, name: str, body: "bytes | BinaryIO") -> bool:
        """Write an object unless it is there; return whether it was not. Its name tells what it must hold."""
        return self._bucket.write(_prefix(version) + name, body)

    def _object(self, version: str, name: str) -> bytes | None:
        """Return a small object's contents, None where there is none."""
        found = self._bucket.read(_prefix(version) + name)
        return found[0] if found else None

    def _parsed(self, version: str, text: bytes) -> Manifest:
        found = manifest.parse(text, self.url(version, "manifest.json"))
        if found.version != version:
            raise ManifestError(f"{self.url(version, 'manifest.json')} is that of release {found.version}")
        return found

    def _download(
        self,
        version: str,
        key: str,
        sha256: str,
        to: Path | None,
        ask: Callable[[], None] = lambda: None,
    ) -> None:
        """Read an object whole, into a file if one is named; raise unless it is what the manifest says."""
        digest = hashlib.sha256()
        url = self.url(version, key)
        chunks = self._bucket.stream(_prefix(version) + key)
        with open(to or os.devnull, "wb") as file, closing(chunks):
            for chunk in chunks:
                ask()
                digest.update(chunk)
                file.write(chunk)
            if to:
                file.flush()
                os.fsync(file.fileno())
        if digest.hexdigest() != sha256:
            raise ReleaseError(
                f"{url} is not what the manifest of {version} says: its sha256 is {digest.hexdigest()}, "
                f"expected {sha256}. Somebody changed it; publish the model anew under another version"
            )


def _check_sources(found: Manifest, archive: Path, golden: Path) -> None:
    if found.golden is None:
        raise ReleaseError(
            f"release {found.version} has no golden clip, so no host could check it; archive it with --golden"
        )
    for path, sha256 in ((archive, found.archive.sha256), (golden, found.golden.sha256)):
        try:
            same = files.sha256(path) == sha256
        except OSError as error:
            raise ReleaseError(f"{path}: {error.strerror}") from error
        if not same:
            raise ReleaseError(f"{path} is not the file that the manifest describes; run archive.sh again")


def _prefix(version: str) -> str:
    return f"releases/{MODEL}/{version}/"


def _signature_key(manifest: bytes) -> str:
    return f"manifest-{hashlib.sha256(manifest).hexdigest()}.sig"


def _taken(version: str, bucket: str) -> str:
    return (
        f"release {version} is in s3://{bucket} already, with other contents, and releases never change; "
        "publish yours under another version"
    )
