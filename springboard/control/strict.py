"""An endpoint's document, as strictly as one who is root reads what the front has written."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from springboard.control import shapes
from springboard.control.errors import ControlError
from springboard.control.names import MOST_ENDPOINTS
from springboard.control.store import Document
from springboard.endpoint.names import Name, Release
from springboard.system.documents import Strict


class DocumentError(Exception):
    """A document is not what the front writes; the message says what of it."""


def _said(operation: str, member: str = "") -> AfterValidator:
    """Have botocore's shape of an operation's request, or of a member of it, be the rule."""

    def check(value: Document) -> Document:
        model = shapes.operation(operation)
        call = model.input_shape if model else None
        assert call is not None  # noqa: S101 - it is one of ours
        try:
            return shapes.checked(call.members[member] if member else call, value)
        except ControlError as error:
            raise ValueError(str(error)) from None

    return AfterValidator(check)


_Model = Annotated[dict[str, Any], _said("CreateModel")]
_Deployment = Annotated[dict[str, Any], _said("UpdateEndpoint", "DeploymentConfig")]
_Async = Annotated[dict[str, Any], _said("CreateEndpointConfig", "AsyncInferenceConfig")]
_Capture = Annotated[dict[str, Any], _said("CreateEndpointConfig", "DataCaptureConfig")]
_Tags = Annotated[list[dict[str, str]], Field(max_length=50)]


class Variant(Strict):
    """A model, as the CreateModel call had it, under a name and with a weight; `release`: what it is here."""

    name: Name
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    instances: Annotated[int, Field(ge=1)] = 1
    model: _Model
    release: Release | None = None


class Wanted(Strict):
    """What an endpoint serves, or shall."""

    config: Name
    deployment: _Deployment | None
    variants: Annotated[tuple[Variant, ...], Field(min_length=1, max_length=10)]
    shadows: Annotated[tuple[Variant, ...], Field(max_length=1)] = ()
    asynchronous: Annotated[_Async | None, Field(alias="async")] = None
    capture: _Capture | None = None


class Endpoint(Strict):
    """The whole of it."""

    name: Name
    status: Literal["Creating", "Updating", "RollingBack", "Deleting", "InService", "Failed"]
    created: float
    modified: float
    began: float = 0
    slot: Annotated[int, Field(ge=0, lt=MOST_ENDPOINTS)] = 0
    wanted: Wanted
    serving: Wanted | None
    stage: str = ""
    share: Annotated[int, Field(ge=0, le=100)] = 0
    failure: str = ""
    last_deployment: _Deployment | None = None
    tags: _Tags


def slot_said(document: object) -> int:
    """Return the slot that a document says before it is checked; what says none of ours is the first's."""
    said = document.get("slot", 0) if isinstance(document, dict) else 0
    return said if type(said) is int and 0 < said < MOST_ENDPOINTS else 0


def checked(document: Document) -> Document:
    """Return an endpoint's document without what no rule knows; raises `DocumentError`."""
    try:
        found = Endpoint.model_validate(document)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise DocumentError(f"the endpoint's document is damaged: {where}: {fault['msg']}") from None
    told: Document = found.model_dump(mode="json", by_alias=True)
    return told
