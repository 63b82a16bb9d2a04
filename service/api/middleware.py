"""The middlewares of the REST interface: access, validators, compression, HEAD, metrics, traces and request ids."""

import hashlib
import re
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import NowcastError
from core.logs import add_log_context
from service.access.limits import Allowance
from service.api.access import SAFE, SIGNED, UNCOUNTED, Guard, RequestKind, check, kind_of
from service.api.caching import holds
from service.api.errors import REQUEST_ID, error_answer, problem
from service.api.proxies import own_path
from service.telemetry.metrics import HTTP_REQUESTS, HTTP_SECONDS, REFUSED
from service.telemetry.traces import is_tracing, open_span

if TYPE_CHECKING:  # an optional package
    from service.telemetry.otlp import OpenSpan

HASH_CHARACTERS: Final = 24
SMALLEST_BYTES: Final = 1024
LEVEL: Final = 5
AS_THEY_ARE: Final = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    "image/*",
    "application/netcdf",
    "application/x-netcdf",
    "application/x-hdf5",
    "application/octet-stream",
)
TAKEN_OVER: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
"""Request ids of clients that are safe to write to a log; others are replaced."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Access:
    """Identifies the caller (`request.state.caller`), counts the request, and refuses what its scope does not allow."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        guard: Guard = scope["app"].state.guard
        path = own_path(scope)
        allowance, answer, kind = None, self.app, kind_of(path)
        try:
            caller = guard.stranger(scope) if path in UNCOUNTED else await guard.caller(scope)
            allowance = await guard.allowance(caller, kind) if kind else None
            if allowance and not allowance.allowed:
                REFUSED.labels("rate_limit").inc()
                answer = _too_many(scope, allowance)
            elif kind is RequestKind.MONITORING:
                allowance = None  # the responses to monitoring state no limit as long as it is kept
            else:
                is_read = scope["method"] in SAFE or path.startswith(SIGNED)
                check(caller, "read" if is_read else "forecast")
            scope.setdefault("state", {})["caller"] = caller
        except NowcastError as err:
            answer = error_answer(Request(scope), err)
        await answer(scope, receive, _with_headers(send, allowance))


def _too_many(scope: Scope, allowance: Allowance) -> ASGIApp:
    detail = (
        f"expected at most {allowance.limit} requests in {allowance.window_s} s; retry in {allowance.reset_s} s "
        "or use an API key with a higher limit"
    )
    return problem(Request(scope), 429, "Too many requests", detail)


def _with_headers(send: Send, allowance: Allowance | None) -> Send:
    return send if allowance is None else partial(_send_with, send, allowance)


async def _send_with(send: Send, allowance: Allowance, message: Message) -> None:
    if message["type"] == "http.response.start":
        MutableHeaders(scope=message).update(allowance.headers())
    await send(message)


class Conditional:
    """Adds a hash of the content as weak validator to JSON responses, and answers 304 if the client holds it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, _Answer(scope, send).take)


class _Answer:
    """One response, held back until its content is complete and can be hashed."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._start: Message | None = None
        self._content = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if own_path(self._scope) in UNCOUNTED:
                MutableHeaders(raw=message["headers"]).setdefault("Cache-Control", "no-store")
            if _wants_validator(message):
                self._start = message
                return
        if self._start is None:
            await self._send(message)
            return
        self._content += message.get("body", b"")
        if not message.get("more_body", False):
            await self._send_whole(self._start)

    async def _send_whole(self, start: Message) -> None:
        headers = MutableHeaders(raw=start["headers"])
        if "etag" not in headers:
            headers["ETag"] = f'W/"{hashlib.sha256(self._content).hexdigest()[:HASH_CHARACTERS]}"'
        headers.setdefault("Cache-Control", "no-cache")
        if holds(Headers(scope=self._scope), headers):
            for name in ("content-length", "content-type"):
                del headers[name]
            start, self._content = {**start, "status": 304}, b""
        await self._send(start)
        await self._send({"type": "http.response.body", "body": self._content})


def _wants_validator(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    kind = headers.get("content-type", "").partition(";")[0]
    is_json = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    return start["status"] == 200 and is_json and headers.get("cache-control") != "no-store"


class GZipForText:
    """Compresses JSON and text; its validator becomes weak, since the bytes differ (RFC 9110, 8.8.3)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._gzip = GZipMiddleware(app, SMALLEST_BYTES, LEVEL, exclude_content_types=AS_THEY_ARE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_weak_tag(message: Message) -> None:
            if message["type"] == "http.response.start" and "content-encoding" in Headers(raw=message["headers"]):
                headers = MutableHeaders(raw=message["headers"])
                tag = headers.get("etag")
                if tag and not tag.startswith("W/"):
                    headers["ETag"] = f"W/{tag}"
            await send(message)

        await self._gzip(scope, receive, send_with_weak_tag)


class HeadAsGet:
    """Answers HEAD as GET without the body (RFC 9110, section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self.app({**scope, "method": "GET"}, receive, send_without_body)


class Observed:
    """Counts requests and measures their duration by method, route and status."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = perf_counter(), 500

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_observed)
        finally:
            method, route = _labels(scope)
            HTTP_REQUESTS.labels(method, route, str(status)).inc()
            HTTP_SECONDS.labels(method, route).observe(perf_counter() - began)


class Traced:
    """Records a request as a span; those of monitoring are left out.

    The trace is the caller's own (`traceparent`) if it is a program of this machine or a trusted proxy. Any other
    caller begins a new one: it decides neither what is recorded nor under which id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or not is_tracing() or own_path(scope) in UNCOUNTED:
            await self.app(scope, receive, send)
            return
        guard: Guard = scope["app"].state.guard
        is_known = guard.is_from_proxy(scope) or guard.stranger(scope).is_local
        opened, status = open_span("server", scope["method"], Headers(scope=scope) if is_known else None), 500

        async def send_traced(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_traced)
        finally:
            if opened is not None:
                _end(opened, *_labels(scope), status)


def _end(opened: "OpenSpan", method: str, route: str, status: int) -> None:
    """Close the span of a request; its address is left out, which may hold the place of a person."""
    named: dict[str, str | int] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
    }
    opened.state(f"{method} {route}", named)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        opened.fail(str(status))
    opened.close()


def _labels(scope: Scope) -> tuple[str, str]:
    """Return method and route as documented, so that clients cannot create new labels."""
    method = scope["method"] if scope["method"] in _METHODS else "other"
    route: Any = scope.get("route")
    return method, getattr(route, "path_format", None) or getattr(route, "path", None) or "none"


class RequestId:
    """Adds an id to every request, its log lines and its response: the client's own, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(REQUEST_ID, "")
        chosen = sent if TAKEN_OVER.fullmatch(sent) else uuid4().hex
        add_log_context(request_id=chosen)
        scope.setdefault("state", {})["request_id"] = chosen  # read by the handler of unexpected errors

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = chosen
            await send(message)

        await self.app(scope, receive, send_with_id)
