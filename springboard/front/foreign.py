"""Requests that a web page made to a server which trusts its own machine: what keeps them out.

Without authentication a server on loopback trusts whoever reaches it, and a browser reaches it for any page:
by a form or `fetch` of another origin, and by a name of the page's own that it has resolve to 127.0.0.1 ("DNS
rebinding"; C. Jackson et al., Protecting Browsers from DNS Rebinding Attacks, ACM CCS 2007). The first has an
`Origin` that is not ours (the Fetch standard, 3.1), the second a `Host`.
"""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from springboard.front import sagemaker as wire
from springboard.front.errors import ForeignRequest
from springboard.front.front import Front
from springboard.system import logs
from springboard.system.addresses import is_loopback

_HOST = re.compile(r"(?P<name>\[[^\[\]]*\]|[^:\[\]]*)(:\d*)?")
_SAFE = ("GET", "HEAD", "OPTIONS")


class OwnMachine:
    """ASGI middleware that answers only Hosts of this machine's loopback, and pages of those.

    `hosts` are more names that it goes by, behind a proxy for instance. Origins are the endpoint file's as
    they are now.
    """

    def __init__(self, app: ASGIApp, front: Front, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._front = front
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and (why := self._why_foreign(scope)):
            call = wire.Call(logs.request_id.get(), wire.dialect_of(scope["method"], scope["path"]))
            logs.told.get()["code"] = ForeignRequest.code
            self._front.metrics.refused.labels(ForeignRequest.code).inc()
            await wire.refusal(call, ForeignRequest(why))(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _why_foreign(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        hosts = headers.getlist("Host")
        if strange := [host for host in hosts if not self._is_ours(host)]:
            return (
                f"its Host is {strange[0][:100]!r}, which is no name of this machine's loopback. If callers "
                "know this server by that name, serve with --allow-host NAME, or with --auth."
            )
        origins = self._front.endpoint.cors.origins
        for origin in headers.getlist("Origin"):
            own = urlsplit(origin).netloc.lower() in [host.lower() for host in hosts]
            if not (own or "*" in origins or origin in origins):
                return (
                    f"a page of {origin[:100]!r} sent it. If that page may call, list its origin in "
                    "endpoint.yml under cors."
                )
        cross_site = headers.get("Sec-Fetch-Site", "") == "cross-site" and "Origin" not in headers
        if cross_site and scope["method"] not in _SAFE:
            return "a page of another site sent it, and does not say which."
        return ""

    def _is_ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        name = found["name"].lower() if found else ""
        return bool(name) and (name in self._hosts or is_loopback(name.strip("[]")))
