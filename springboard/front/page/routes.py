"""The page's routes: its documents and files, open to everybody, and its settings, told by who asks."""

from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from springboard.auth.check import Mode
from springboard.auth.errors import NotAuthorized
from springboard.front.front import Front
from springboard.front.page import files
from springboard.front.page.files import File

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DOCUMENT = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    # Asked for each time, and 304 while it is the same: it names the files that it goes with.
    "Cache-Control": "no-cache",
}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_NEVER = {"Cache-Control": "no-store"}


def add_page(app: FastAPI, front: Front, check_scraper: Callable[[Request], None]) -> None:
    """Add the page to `app`; it is there while the endpoint file has `page: true`.

    `check_scraper` raises `NotAuthorized` for who may not read /metrics.
    """
    held = files.load()

    def check_shown() -> None:
        if not front.endpoint.page:
            raise HTTPException(404, headers=_NEVER)

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        """Return the page where a dive is scored."""
        check_shown()
        return _answer(request, held.documents["score"], _DOCUMENT)

    @app.get("/status", include_in_schema=False)
    async def status(request: Request) -> Response:
        """Return the page that shows how the server is: empty, its figures have rights of their own."""
        check_shown()
        if request.scope["raw_path"].endswith(b"/"):
            # Its files are named from where it is.
            return RedirectResponse("../status", 308)
        return _answer(request, held.documents["status"], _DOCUMENT)

    @app.get("/page/settings", include_in_schema=False)
    async def settings(request: Request) -> Response:
        """Return what the page has to know; what it may know of the endpoint only to who may call."""
        check_shown()
        told: dict[str, object] = {
            "sign_in": _way_in(front),
            "signed_in": _allowed(front.auth.check, request),
            "max_body_bytes": front.endpoint.limits.max_body_bytes,
            "status": _allowed(check_scraper, request),
        }
        if told["signed_in"]:
            told["endpoint"] = front.name
            told["variants"] = list(front.queue.lanes)
            told["s3"] = bool(front.endpoint.allowed_buckets)
        return JSONResponse(told, headers=_NEVER)

    @app.get("/page/{version}/{name:path}", include_in_schema=False)
    async def file(request: Request, version: str, name: str) -> Response:
        """Return a file of this version; of another one nothing, so that two are never mixed."""
        check_shown()
        found = held.assets.get(name)
        if version != held.version or found is None:
            raise HTTPException(404, headers=_NEVER)
        return _answer(request, found, _FOR_EVER)


def _way_in(front: Front) -> str | None:
    """Return how a person can prove who they are: only a token can be typed in."""
    if Mode.NONE in front.auth.modes:
        return None
    return "bearer" if Mode.BEARER in front.auth.modes else "sigv4"


def _allowed(check: Callable[[Request], None], request: Request) -> bool:
    try:
        check(request)
    except NotAuthorized:
        return False
    return True


def _answer(request: Request, file: File, headers: dict[str, str]) -> Response:
    """Return a file, packed where the browser takes that, or 304 where it has it already."""
    packed = file.packed if "gzip" in request.headers.get("Accept-Encoding", "") else None
    tag = f'"{file.tag}-gzip"' if packed else f'"{file.tag}"'
    headers = {**headers, "ETag": tag, "Vary": "Accept-Encoding"}
    known = request.headers.get("If-None-Match", "")
    # A proxy that packs or unpacks on the way marks a tag as weak.
    if tag in {one.strip().removeprefix("W/") for one in known.split(",")}:
        return Response(status_code=304, headers=headers)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(packed or file.body, headers=headers, media_type=file.media_type)
