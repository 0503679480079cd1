"""Names that all rooms write alike: of the model, its releases, archives, endpoints and variants."""

from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

# What TorchServe, the archives and the registry call the model.
MODEL = "dive"
# SageMaker's rule for the names of endpoints and variants.
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*$", max_length=63)]
Release = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$", max_length=64)]
_RELEASE = TypeAdapter[str](Release)
Address = Annotated[str, Field(pattern=r"^(https?://[^/\s:]+:\d{1,5}|unix:(/[^/\s]+)+)$")]


def is_release(version: str) -> bool:
    """Whether this is a version, as releases have."""
    try:
        _RELEASE.validate_python(version)
    except ValidationError:
        return False
    return True


def archive_name(version: str) -> str:
    """Return the file name of a release's archive; TorchServe's model store wants it."""
    return f"{MODEL}-{version}.mar"


def version_of(archive: str) -> str:
    """Return the version in an archive's file name, whatever stands there; `archive_name`'s inverse."""
    return archive.removeprefix(f"{MODEL}-").removesuffix(".mar")
