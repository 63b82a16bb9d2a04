"""The public address of the service behind a trusted proxy: scheme, host and prefix of all links and redirects."""

import re
from contextvars import ContextVar
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import InputError, shown
from service.api.errors import error_answer

SCHEMES: Final = ("http", "https")
HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~-]{1,64}){1,8}")

_prefix: ContextVar[str] = ContextVar("public_prefix", default="")


def public_prefix() -> str:
    """Return the path that a proxy has taken off the current request, to put before paths in links."""
    return _prefix.get()


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


class Proxied:
    """Applies X-Forwarded-Proto, -Host and -Prefix of requests from `trusted_proxies`; those of others are ignored.

    Of the middleware only `BoundedBodies` is further inside: all others use the request as it arrived.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or not scope["app"].state.guard.is_from_proxy(scope):
            await self.app(scope, receive, send)
            return
        public = _public(scope)
        token = _prefix.set(public.get("root_path", ""))
        try:
            await self.app(public, receive, send)
        finally:
            _prefix.reset(token)
            scope.update({key: public[key] for key in ("route", "endpoint") if key in public})  # labels of metrics


def _public(scope: Scope) -> Scope:
    """Return the connection as the client made it; a header that is not of the expected form is ignored."""
    headers = Headers(scope=scope)
    changed: dict[str, Any] = {}
    proto, host, prefix = (_first(headers, f"x-forwarded-{name}") for name in ("proto", "host", "prefix"))
    if proto.lower() in SCHEMES:
        changed["scheme"] = proto.lower()
    if HOST.fullmatch(host):
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        changed["headers"] = [(b"host", host.encode()), *others]
    if PREFIX.fullmatch(prefix.rstrip("/")):
        root = prefix.rstrip("/")
        changed["root_path"] = root
        changed["path"] = scope["path"] if scope["path"].startswith(f"{root}/") else root + scope["path"]
    return {**scope, **changed}


def _first(headers: Headers, name: str) -> str:
    """Return the first value, which the outermost proxy has written."""
    return headers.get(name, "").split(",")[0].strip()
