"""Access to the REST interface: which API key or address may do what, and how often.

Without a key, clients on this machine may do everything except administration, and other clients may only read. An
administrative operation depends on `AdminDep` (or `Depends(admin)`); for all others the HTTP method decides, in
`service.api.middleware`.
"""

import re
import time
from dataclasses import replace
from enum import Enum
from typing import Annotated, Final

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.types import Scope as Connection

from core.errors import AuthenticationError, PermissionDeniedError
from core.settings import Settings
from service.access.callers import Caller, caller_from, is_in, key_in, outermost_hop, trusted_networks
from service.access.forwarded import Hop
from service.access.keybook import Key, KeyBook, Scope
from service.access.limits import Allowance, Limiter, parsed_limit

SAFE: Final = ("GET", "HEAD", "OPTIONS")
ALIVE: Final = "/livez"
UNCOUNTED: Final = (ALIVE, "/readyz", "/metrics")
"""Paths that monitoring uses; they need no key."""

PICTURES: Final = re.compile(
    r"/(tiles/.+|v2/radar/.+|wms|page/.+|docs/viewer/.+|radar|.+\.(png|webp|gif)|nowcast/[^/]+/map)"
)
"""Paths of which a map or a page requests many at a time."""


class RequestKind(Enum):
    """Kinds of requests, each with a count and a limit of its own."""

    DEFAULT = "default"
    PICTURES = "pictures"
    MONITORING = "monitoring"


def kind_of(path: str) -> RequestKind | None:
    """Return the kind of a request, by its path; None for the check of a process, which nobody may use up."""
    if path in UNCOUNTED:
        return None if path == ALIVE else RequestKind.MONITORING
    return RequestKind.PICTURES if PICTURES.fullmatch(path) else RequestKind.DEFAULT


SIGNED: Final = "/rules/email/"
"""First part of the paths whose signed code is the credential: links of e-mails, which have no API key."""

KEYS_KEPT_S: Final = 5.0
"""Seconds for which a key that was read is cached, and for which a revoked one may still be accepted."""

MOST_KEYS_KEPT: Final = 1024


class Guard:
    """API keys and rate limits of one application.

    Attributes:
        listeners: clients that follow `/events` now.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._trusted = trusted_networks(settings.trusted_proxies)
        self._per_key = {
            RequestKind.DEFAULT: parsed_limit(settings.limit_per_key),
            RequestKind.PICTURES: parsed_limit(settings.limit_pictures_per_key),
        }
        self._per_address = {
            RequestKind.DEFAULT: parsed_limit(settings.limit_per_address),
            RequestKind.PICTURES: parsed_limit(settings.limit_pictures_per_address),
            RequestKind.MONITORING: parsed_limit(settings.limit_monitoring),
        }
        self._limiter = Limiter(settings.redis_url.get_secret_value() if settings.redis_url else None)
        self._book: KeyBook | None = None
        self._known: dict[str, tuple[float, Key | None]] = {}
        self._threads = CapacityLimiter(4)
        self.listeners: set[tuple[str, object]] = set()

    async def caller(self, connection: Connection) -> Caller:
        """Return the sender of a request, identified by its API key or address.

        Raises:
            UnavailableError: the keys cannot be read.
        """
        caller = self.stranger(connection)
        text = key_in(Headers(scope=connection))
        if text is None:
            return caller
        key = await self._key(text)
        return replace(caller, key=key, is_refused=key is None)

    def stranger(self, connection: Connection) -> Caller:
        """Return the sender by its address alone, ignoring any API key."""
        caller = caller_from(connection, self._trusted, self._settings.proxy_headers)
        return caller if self._settings.local_without_key is not False else replace(caller, is_local=False)

    def outermost_hop(self, connection: Connection) -> Hop | None:
        """Return what the outermost trusted proxy states in `Forwarded`, see `callers.outermost_hop`."""
        return outermost_hop(Headers(scope=connection), self._trusted, self._settings.proxy_headers)

    def is_from_proxy(self, connection: Connection) -> bool:
        """Return whether a request comes from one of the trusted proxies."""
        return is_in((connection.get("client") or ("?", 0))[0], self._trusted)

    async def allowance(self, caller: Caller, kind: RequestKind = RequestKind.DEFAULT) -> Allowance | None:
        """Count this request among those of its kind; return None for a client without a rate limit (local, no key)."""
        name = caller.name if kind is RequestKind.DEFAULT else f"{caller.name}:{kind.value}"
        if caller.key is None:
            return None if caller.is_local else await self._limiter.count(self._per_address[kind], name, kind.value)
        has_own = kind is RequestKind.DEFAULT and caller.key.rate_limit
        limit = parsed_limit(str(caller.key.rate_limit)) if has_own else self._per_key[kind]
        return await self._limiter.count(limit, name, kind.value)

    async def close(self) -> None:
        """Close the connections to the rate limiter."""
        await self._limiter.close()

    async def _key(self, text: str) -> Key | None:
        now = time.monotonic()
        if (known := self._known.get(text)) and known[0] > now:
            return known[1]
        key = await to_thread.run_sync(self._read, text, limiter=self._threads)
        if len(self._known) >= MOST_KEYS_KEPT:
            self._known.clear()
        if key:  # invalid keys are not cached: guessing would evict the valid ones
            self._known[text] = (now + KEYS_KEPT_S, key)
        return key

    def _read(self, text: str) -> Key | None:
        self._book = self._book or KeyBook.from_settings(self._settings)
        return self._book.find(text)


def check(caller: Caller, scope: Scope) -> None:
    """Check that the caller has the required scope.

    Raises:
        AuthenticationError: no API key, or an invalid one.
        PermissionDeniedError: the API key lacks the scope.
    """
    if caller.is_refused:
        raise AuthenticationError("the API key is not valid or was revoked; `service.keys create` makes one")
    if caller.allows(scope):
        return
    if caller.key is None:
        raise AuthenticationError(
            f"expected an API key with the scope {scope}, as X-API-Key or Authorization: Bearer, got none"
        )
    raise PermissionDeniedError(
        f"expected an API key with the scope {scope}, got one with the scope {caller.key.scope}"
    )


def caller_of(request: Request) -> Caller:
    """Return the caller of a request, as the access middleware found it."""
    caller: Caller = request.state.caller
    return caller


def admin(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
    """Return the caller if its API key has the scope admin.

    Raises:
        AuthenticationError: no API key, or an invalid one.
        PermissionDeniedError: the API key lacks the scope admin.
    """
    check(caller, "admin")
    return caller


CallerDep = Annotated[Caller, Depends(caller_of)]
AdminDep = Annotated[Caller, Depends(admin)]
