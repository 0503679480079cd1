"""A release's manifest: what its archive holds, and which scores to expect of it.

build.py writes it; it is read wherever releases are published or deployed, and there without torch.
"""

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from springboard.endpoint.names import MODEL, Release
from springboard.system import documents

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A plain file name: it is joined to folders and keys.
FileName = Annotated[str, Field(pattern=r"^[^/\x00]+$", max_length=200)]


class ReleaseError(Exception):
    """A release cannot be read, fetched or published; the message says which, why and what to do."""


class ManifestError(ReleaseError):
    """A manifest that cannot be used; the message says why."""


class _Part(BaseModel):
    # Later versions may add fields; a host need not know them.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Archive(_Part):
    """The .mar; `size_bytes` lets a host see ahead whether it fits."""

    file: FileName
    sha256: Sha256
    size_bytes: Annotated[int, Field(gt=0)]


class Golden(_Part):
    """A clip, its score in points, and how far a host's answer may be off."""

    file: FileName
    sha256: Sha256
    score: float
    tolerance: Annotated[float, Field(gt=0)]


class ReferenceScores(_Part):
    """The scores of many dives, in points."""

    clips: int
    mean: float
    sd: float
    # The mean absolute error, where judges' scores of the clips are known.
    error: float | None = None


class Manifest(_Part):
    """What a host needs to know of a release."""

    version: Release
    archive: Archive
    golden: Golden | None = None
    reference_scores: ReferenceScores | None = None
    torch: str
    python: str = ""
    created: str = ""
    git_commit: str | None = None

    @property
    def reference(self) -> ReferenceScores | None:
        """Its reference scores; None where they are too few, or too alike, to measure a shift by."""
        scores = self.reference_scores
        return scores if scores and scores.clips > 1 and scores.sd > 0 else None

    @property
    def archive_key(self) -> str:
        """The archive's name in the registry; it holds its checksum, so that no other can take its place."""
        return f"{MODEL}-{self.version}-{self.archive.sha256}.mar"

    @property
    def golden_key(self) -> str:
        """The golden clip's name in the registry, empty without one."""
        return f"golden-{self.golden.sha256}{Path(self.golden.file).suffix}" if self.golden else ""

    @property
    def golden_name(self) -> str:
        """The golden clip's name on a host, empty without one."""
        return f"golden{Path(self.golden.file).suffix}" if self.golden else ""


def parse(text: bytes, origin: str) -> Manifest:
    """Read a manifest; raise `ManifestError`, which names `origin`, the fault and its place."""
    return documents.parse(text, Manifest, origin, ManifestError, as_json=True)


def order(version: str) -> tuple[int, int, int, bool, list[tuple[bool, int, str]]]:
    """Return what sorts versions as SemVer does: 1.10.0-rc.2 after 1.9.0, before 1.10.0."""
    core, _, pre = version.partition("-")
    major, minor, patch = (int(number) for number in core.split("."))
    parts = [
        (not re.fullmatch(r"\d+", part), int(part) if part.isdigit() else 0, part) for part in pre.split(".")
    ]
    return major, minor, patch, not pre, parts
