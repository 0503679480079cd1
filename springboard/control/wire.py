"""The control plane's one route, awsJson1.1: `POST /` with `X-Amz-Target: SageMaker.<Operation>`."""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from springboard.auth.errors import NotAuthorized
from springboard.control import shapes
from springboard.control.documents import Operation
from springboard.control.errors import ControlError, SerializationError, UnknownOperation
from springboard.control.names import Identity
from springboard.front.exchange import tell_unauthorized
from springboard.front.front import Front
from springboard.releases.manifest import ReleaseError
from springboard.system import logs

log = logging.getLogger("springboard.control")

_TARGET = "SageMaker."
# AWS's requests are at most so large, and ours are a few kilobytes.
_MAX_BYTES = 1_000_000
_BODY_SECONDS = 30.0


def add(app: FastAPI, front: Front, operations: Mapping[str, Operation], identity: Identity) -> None:
    """Put the route into the front's application, where it goes beside the page's GET."""

    @app.post("/", include_in_schema=False)
    async def control(request: Request) -> Response:
        """Answer one call of SageMaker's control plane."""
        target = request.headers.get("X-Amz-Target", "")
        name = target.removeprefix(_TARGET)
        logs.told.get()["operation"] = name[:100]
        try:
            body = await _body(front, request)
            _authorise(front, request, name, identity)
            if not target.startswith(_TARGET):
                raise UnknownOperation(
                    "X-Amz-Target must be SageMaker.<Operation>: this is SageMaker's control plane. "
                    "Videos are scored at /endpoints/NAME/invocations."
                )
            return _respond(200, await asyncio.to_thread(_called, operations, name, body))
        except NotAuthorized as error:
            tell_unauthorized(front, request, error)
            return _respond(error.status, {"__type": "AccessDeniedException", "message": error.message})
        except ControlError as error:
            logs.told.get()["code"] = error.kind
            return _respond(error.status, {"__type": error.kind, "message": str(error)})
        except (ReleaseError, OSError) as error:  # of S3, where the documents are there, or of their folder
            log.warning("the documents cannot be had: %s", error)
            return _respond(503, {"__type": "ServiceUnavailable", "message": str(error)})
        except Exception:
            log.exception("a bug of ours")
            said = f"Internal error. The server's log tells more under request id {logs.request_id.get()}."
            return _respond(500, {"__type": "InternalFailure", "message": said})


def _called(operations: Mapping[str, Operation], name: str, body: bytes) -> dict[str, Any]:
    model = shapes.operation(name)
    if model is None:
        raise UnknownOperation(f"SageMaker has no operation {name[:100]!r}.")
    if name not in operations:
        raise UnknownOperation(f"{name} is not offered: this server has {', '.join(sorted(operations))}.")
    answer = operations[name](shapes.checked(model.input_shape, _read(body)))
    document: dict[str, Any] = shapes.written(model.output_shape, answer)
    return document


def _read(body: bytes) -> object:
    def refused(constant: str) -> float:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(body or b"{}", parse_constant=refused)
    except (ValueError, RecursionError) as error:
        raise SerializationError(f"The request is no JSON: {error}"[:300]) from None


async def _body(front: Front, request: Request) -> bytes:
    verify = front.auth.begin(request)
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise ControlError(
                        f"The request is larger than {_MAX_BYTES:,} bytes.", "RequestEntityTooLargeException"
                    )
    except TimeoutError:
        raise ControlError(f"The request took longer than {_BODY_SECONDS:g} s to arrive.") from None
    if verify is not None:
        verify(bytes(body))
    return bytes(body)


def _authorise(front: Front, request: Request, operation: str, identity: Identity) -> None:
    """Refuse keys that may only have videos scored, in AWS's words."""
    if front.auth.is_admin(request):
        return
    user = f"arn:aws:iam::{identity.account}:user/{front.auth.caller(request).removeprefix('key ')}"
    action = f"sagemaker:{operation[:100]}"
    raise ControlError(
        f"User: {user} is not authorized to perform: {action} because no identity-based policy allows the "
        f"{action} action. Its key may have videos scored; an administrator's is made by: "
        "springboard keys create NAME --admin",
        "AccessDeniedException",
    )


def _respond(status: int, document: Mapping[str, Any]) -> Response:
    return Response(json.dumps(document), status, media_type="application/x-amz-json-1.1")
