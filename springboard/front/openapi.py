"""What /openapi.json says of each route beside its shapes: statuses, headers, ways to send a video."""

from collections.abc import Collection
from typing import Any, Literal

from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from springboard.auth.check import Mode
from springboard.front import sagemaker as wire
from springboard.front import schema
from springboard.torchserve.client import INCLUDE

ABOUT = """Scores videos of dives. Send a video as the body (raw bytes, a form, or a pointer into S3) to
`/invocations`, or point boto3's `sagemaker-runtime` client at this server."""

_MEANING = {
    400: "The body or a header is malformed.",
    403: "Not authorized, or S3 or this server's bucket list refused the object.",
    404: "No such endpoint, model, version or S3 object.",
    408: "The body arrived too slowly.",
    415: "The body's Content-Encoding is none that is unpacked here.",
    413: "The body, the S3 object or the video is over a limit.",
    422: "Not a readable video, or not one of a dive.",
    424: "This video ended several workers and is refused for a while.",
    429: "The queue is full; see Retry-After.",
    500: "A bug; the log tells more under the request id.",
    502: "S3 could not be reached, or the model failed on this video repeatedly.",
    503: "No worker is ready, or the server is shutting down, or it is out of memory.",
    504: "The model did not answer before the deadline.",
}

Responses = dict[int | str, dict[str, Any]]


def errors(*statuses: int) -> Responses:
    """Return the declaration of these errors, as every route but SageMaker's answers them."""
    return {code: {"model": schema.Error, "description": _MEANING[code]} for code in statuses}


INVOCATIONS: Responses = {
    200: {"model": schema.Score, "description": "The dive's score."},
    **errors(400, 403, 404, 408, 413, 415, 422, 424, 429, 500, 502, 503, 504),
}
SAGEMAKER: Responses = {
    200: {"model": schema.Score, "description": "The dive's score."},
    400: {
        "model": schema.TypedError,
        "description": "ValidationError: a header, a name, or the body's size.",
    },
    403: {"model": schema.TypedError, "description": "AccessDeniedException."},
    424: {
        "model": schema.ModelError,
        "description": "ModelError: the model refused or failed, or the video or its S3 address is at fault.",
    },
    429: {"model": schema.TypedError, "description": "ThrottlingException; see Retry-After."},
    500: {"model": schema.TypedError, "description": "InternalFailure: a bug."},
    503: {"model": schema.TypedError, "description": "ServiceUnavailable: not ready, or shutting down."},
}
_LOCATION = {"type": "string", "format": "uri"}
ASYNC: Responses = {
    202: {
        "model": schema.Accepted,
        "description": "The job is on the queue.",
        "headers": {
            f"{wire.PREFIX}OutputLocation": {
                "description": "Where the result will be.",
                "required": True,
                "schema": _LOCATION,
            },
            f"{wire.PREFIX}FailureLocation": {
                "description": "Where the reason will be, if there is none.",
                "required": True,
                "schema": _LOCATION,
            },
        },
    },
    400: {
        "model": schema.TypedError,
        "description": "ValidationError: a header, a name, the body's size, the input's place, an id that is "
        "taken, or a server without asynchronous inference.",
    },
    **{code: SAGEMAKER[code] for code in (403, 429, 500)},
    503: {
        "model": schema.TypedError,
        "description": "ServiceUnavailable: the queue is away, or the server is shutting down.",
    },
}
UPLOAD: Responses = {
    200: {**ASYNC[202], "model": schema.Upload, "description": "The job begins when the video is there."},
    **{code: ASYNC[code] for code in (400, 403, 429, 500, 503)},
}
TRUTH: Responses = {
    200: {"model": schema.TruthsTaken, "description": "What became of them."},
    **{code: ASYNC[code] for code in (400, 403, 429, 500, 503)},
}
STREAM: Responses = {
    **SAGEMAKER,
    200: {
        "content": {"application/vnd.amazon.eventstream": {"schema": {"type": "string"}}},
        "description": "The dive's score as one PayloadPart of an event stream.",
    },
}
LAMBDA: Responses = {
    **INVOCATIONS,
    200: {"model": schema.LambdaScore, "description": "The score's whole points."},
}
METRICS: Responses = {
    200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}},
    **errors(403),
}


def in_path(name: str) -> dict[str, Any]:
    """Return the declaration of a name in a route's path."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


NAME = in_path("name")
HEADERS: list[dict[str, Any]] = [
    {
        "name": wire.PREFIX + name,
        "in": "header",
        "required": False,
        "description": text,
        "schema": {
            "type": "string",
            "maxLength": wire.RULES[name][1],
            "pattern": f"^({wire.RULES[name][0].pattern})$",
        },
    }
    for name, text in (
        ("Target-Variant", "This variant, whatever the weights say."),
        ("Session-Id", "Requests of one session stay on one variant."),
        ("Inference-Id", "The caller's own id, for the log; echoed."),
        ("Custom-Attributes", "Echoed."),
    )
] + [
    {
        "name": INCLUDE,
        "in": "header",
        "required": False,
        "description": "`strip`: the answer brings a small JPEG too, the middle frame of each clip as "
        "the network saw it.",
        "schema": {"type": "string", "enum": list(wire.INCLUDABLE)},
    }
]

_SCHEMES = {
    Mode.BEARER: {"type": "http", "scheme": "bearer", "description": "springboard keys create --bearer NAME"},
    Mode.SIGV4: {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "AWS Signature Version 4 for the service sagemaker: springboard keys create NAME",
    },
}
_OPEN = ("/ping", "/metrics", "/metrics/torchserve")


def _header(text: str, kind: str = "string", required: bool = False, **more: str) -> dict[str, Any]:
    return {"description": text, "required": required, "schema": {"type": kind, **more}}


_TIMES = "Milliseconds by stage, as `decode;dur=12.5`."
_VARIANT = "The variant that answered."
_ALWAYS = {"x-amzn-RequestId": _header("As in the server's log.", required=True, format="uuid")}
_RETRY_AFTER = {"Retry-After": _header("Seconds after which it is worth trying again.", "integer")}
_ERROR_TYPE = {"x-amzn-ErrorType": _header("The exception that AWS's clients raise.", required=True)}
# Of a route that scores: what the model's answers have, then what callers sent along.
_BY_THE_MODEL = ("Server-Timing", "x-Amzn-Invoked-Production-Variant")
_SCORING = {
    "Server-Timing": _header(_TIMES),
    "x-Amzn-Invoked-Production-Variant": _header(_VARIANT),
    "X-Amzn-SageMaker-New-Session-Id": _header("Of a session begun with NEW_SESSION, with its end."),
    "X-Amzn-SageMaker-Custom-Attributes": _header("Those of the request."),
    "X-Amzn-SageMaker-Inference-Id": _header("That of the request."),
}


def operation_id(route: APIRoute) -> str:
    """Return a route's name for generated clients, which call their functions so."""
    return f"put_{route.name}" if "PUT" in (route.methods or ()) else route.name


def complete(document: dict[str, Any], modes: Collection[Mode]) -> None:
    """Add to an OpenAPI document the shapes of bodies, who may call, and which headers answers have."""
    components = document.setdefault("components", {})
    shapes: list[tuple[type[BaseModel], Literal["validation"]]] = [(s, "validation") for s in schema.BODIES]
    _, bodies = models_json_schema(shapes, ref_template=f"{_SHAPES}{{model}}")
    components["schemas"] |= bodies["$defs"]
    schemes = {mode.value: _SCHEMES[mode] for mode in Mode if mode in modes and mode in _SCHEMES}
    if schemes:
        components["securitySchemes"] = schemes
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if schemes and path not in _OPEN:
                operation["security"] = [{name: []} for name in schemes]
            for status, response in operation["responses"].items():
                typed = path.startswith(wire.BELOW) and methods.keys() == {"post"}
                response.setdefault("headers", {}).update(
                    _headers(status, "score" in operation["tags"], typed)
                )


def _headers(status: str, scores: bool, typed: bool) -> dict[str, Any]:
    headers = dict(_ALWAYS)
    if scores:
        headers |= _SCORING
    if scores and status == "200":
        headers |= {name: _SCORING[name] | {"required": True} for name in _BY_THE_MODEL}
    if typed and status not in ("200", "202"):
        headers |= _ERROR_TYPE
    return headers | (_RETRY_AFTER if status in ("429", "503") else {})


_ASYNC_HEADERS = {
    "InputLocation": "Where the video lies, `s3://BUCKET/KEY`; or send it as the body.",
    "RequestTTLSeconds": "The job is not begun after so many seconds; 21600 by default.",
    "InvocationTimeoutSeconds": "The work may take so many seconds; 900 by default.",
    "S3OutputPathExtension": "A path below the output's.",
    "Filename": "The result's file name; by default the id with `.out`.",
    "Content-Type": "What the body is; told in messages.",
    "Accept": "Told in messages.",
    "Inference-Id": "The job's id; the same with the same input is one job.",
}
_NOT_OF_UPLOADS = tuple(wire.PREFIX + name for name in ("InputLocation", "Content-Type"))


def _async_schema(name: str) -> dict[str, Any]:
    if name in wire.ASYNC_SECONDS:
        least, most, _ = wire.ASYNC_SECONDS[name]
        return {"type": "integer", "minimum": least, "maximum": most}
    return {"type": "string", "maxLength": (wire.ASYNC_RULES | wire.RULES)[name][1]}


JOB: dict[str, Any] = {
    "parameters": [
        NAME,
        *(
            {
                "name": wire.PREFIX + name,
                "in": "header",
                "required": False,
                "description": text,
                "schema": _async_schema(name),
            }
            for name, text in _ASYNC_HEADERS.items()
        ),
    ],
    "requestBody": {
        "required": False,
        "description": "A video of up to 128,000 bytes, where no InputLocation is sent.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
}

UPLOADED: dict[str, Any] = {
    "parameters": [one for one in JOB["parameters"] if one["name"] not in _NOT_OF_UPLOADS]
}

TRUTHS: dict[str, Any] = {
    "parameters": [NAME],
    "requestBody": {
        "required": True,
        "description": "One truth, or several, one in a line (JSON lines), up to 1 MB.",
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/TruthOf"}},
        },
    },
}

# Not `video/*` beside it: generators of clients know no ranges and leave it out with a warning.
_BODY = (
    "A video, its base64, or its address in S3. Raw bytes may come under any Content-Type that is no form's "
    "and not JSON's (video/mp4, application/octet-stream) and under none."
)
_BINARY = {"type": "string", "format": "binary"}
_SHAPES = "#/components/schemas/"
_JSON = {"oneOf": [{"$ref": f"{_SHAPES}{shape.__name__}"} for shape in schema.JSON_BODIES]}


def video_body(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the OpenAPI parts of a route that takes a video as bytes, form, base64, or address in S3."""
    return {
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "description": _BODY,
            "content": {
                "application/octet-stream": {"schema": _BINARY},
                "multipart/form-data": {"schema": {"$ref": f"{_SHAPES}{schema.VideoForm.__name__}"}},
                "application/json": {"schema": _JSON},
            },
        },
    }
