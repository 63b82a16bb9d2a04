"""The public address of the service: scheme, host and prefix of all links and redirects.

It is `NOWCAST_PUBLIC_URL`, else what a trusted proxy states, else that of the request itself.
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import InputError, shown
from service.api.access import Guard
from service.api.errors import error_answer

SCHEMES: Final = ("http", "https")
HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~-]{1,64}){1,8}")

_prefix: ContextVar[str] = ContextVar("public_prefix", default="")


def public_prefix() -> str:
    """Return the path that a proxy has taken off the current request, to put before paths in links."""
    return _prefix.get()


def own_path(scope: Scope) -> str:
    """Return the path of a request as the interface names it: without the public prefix, which a proxy may leave on."""
    address = _address(scope)
    prefix = address.prefix if address else ""
    path = str(scope["path"])
    return path[len(prefix) :] if prefix and path.startswith(f"{prefix}/") else path


class ValidHost:
    """Refuses a request whose `Host` is no name, address or port: no address can be made of it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        host = Headers(scope=scope).get("host") if scope["type"] == "http" else None
        if not host or HOST.fullmatch(host):
            await self.app(scope, receive, send)
            return
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        error = InputError(f"Host: expected a name or an address with or without a port, got {shown(host)}")
        answer = error_answer(Request({**scope, "headers": others}), error)
        await answer(scope, receive, send)


@dataclass(frozen=True)
class PublicAddress:
    """The address that clients use; an empty part is that of the request."""

    scheme: str
    host: str
    prefix: str

    def of(self, scope: Scope) -> Scope:
        """Return a connection as the client made it."""
        changed: dict[str, Any] = {}
        if self.scheme:
            changed["scheme"] = self.scheme
        if self.host:
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            changed["headers"] = [(b"host", self.host.encode()), *others]
        if self.prefix:
            path = scope["path"]
            changed["root_path"] = self.prefix
            changed["path"] = path if path.startswith(f"{self.prefix}/") else self.prefix + path
        return {**scope, **changed}


class Proxied:
    """Gives each request its public address; what proxies other than `trusted_proxies` state of it is ignored.

    Of the middleware only `BoundedBodies` is further inside: all others use the request as it arrived.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        address = _address(scope) if scope["type"] == "http" else None
        if address is None:
            await self.app(scope, receive, send)
            return
        public = address.of(scope)
        token = _prefix.set(address.prefix)
        try:
            await self.app(public, receive, send)
        finally:
            _prefix.reset(token)
            scope.update({key: public[key] for key in ("route", "endpoint") if key in public})  # labels of metrics


def _address(scope: Scope) -> PublicAddress | None:
    state = scope["app"].state
    guard: Guard = state.guard
    if url := state.backend.settings.public_url:
        return _configured(url)
    return _stated(scope, guard) if guard.is_from_proxy(scope) else None


@lru_cache(maxsize=8)
def _configured(url: str) -> PublicAddress:
    scheme, _, rest = url.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return PublicAddress(scheme, host, slash + path)


def _stated(scope: Scope, guard: Guard) -> PublicAddress:
    """Return the address that a trusted proxy states; a part that is not of the expected form is ignored."""
    headers, hop = Headers(scope=scope), guard.outermost_hop(scope)
    proto, host, prefix = (_only(headers, f"x-forwarded-{name}") for name in ("proto", "host", "prefix"))
    if scope["app"].state.backend.settings.proxy_headers == "forwarded":
        proto = host = prefix = ""
    if hop is not None:
        proto, host = hop.proto, hop.host
    prefix = prefix.rstrip("/")
    return PublicAddress(
        proto.lower() if proto.lower() in SCHEMES else "",
        host if HOST.fullmatch(host) else "",
        prefix if PREFIX.fullmatch(prefix) else "",
    )


def _only(headers: Headers, name: str) -> str:
    """Return the value of a header if all proxies state the same one, else nothing.

    Of several the first one is the outermost proxy's, or the client's own where that proxy appends.
    """
    found = {one.strip() for field in headers.getlist(name) for one in field.split(",")}
    return found.pop() if len(found) == 1 else ""
