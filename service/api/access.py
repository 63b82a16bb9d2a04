"""Access to the REST interface: which API key or address may do what, and how often.

Without a key, clients on this machine may do everything except administration, and other clients may only read. An
administrative operation depends on `AdminDep` (or `Depends(admin)`); for all others the HTTP method decides, in
`service.api.middleware`.
"""

import time
from dataclasses import replace
from typing import Annotated, Final

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from limits import RateLimitItem
from starlette.datastructures import Headers
from starlette.types import Scope as Connection

from core.errors import AuthenticationError, PermissionDeniedError
from core.settings import Settings
from service.access.callers import Caller, caller_from, is_in, key_in, trusted_networks
from service.access.keybook import Key, KeyBook, Scope
from service.access.limits import Allowance, Limiter, parsed_limit

SAFE: Final = ("GET", "HEAD", "OPTIONS")
UNCOUNTED: Final = ("/livez", "/readyz", "/metrics")
"""Paths that monitoring uses; they need no key and have no rate limit."""

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
        self._limits: dict[str, RateLimitItem] = {}
        self._per_key = parsed_limit(settings.limit_per_key)
        self._per_address = parsed_limit(settings.limit_per_address)
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
        return caller_from(connection, self._trusted)

    def is_from_proxy(self, connection: Connection) -> bool:
        """Return whether a request comes from one of the trusted proxies."""
        return is_in((connection.get("client") or ("?", 0))[0], self._trusted)

    async def allowance(self, caller: Caller) -> Allowance | None:
        """Count this request; return None for a client without a rate limit (local, without a key)."""
        if caller.key is None:
            return None if caller.is_local else await self._limiter.count(self._per_address, caller.name)
        limit = parsed_limit(caller.key.rate_limit) if caller.key.rate_limit else self._per_key
        return await self._limiter.count(limit, caller.name)

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
