"""Who may do what, and how often: without a key everything but administration on this machine, else only GET.

An administrative operation takes `AdminDep` (or `dependencies=[Depends(admin)]`); everything else is decided here by
its method.
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
from service.access.callers import Caller, caller_from, key_in, trusted_networks
from service.access.keybook import Key, KeyBook, Scope
from service.access.limits import Allowance, Limiter, parsed_limit

SAFE: Final = ("GET", "HEAD", "OPTIONS")
UNCOUNTED: Final = ("/livez", "/readyz", "/metrics")
"""What watches the service is never turned away."""

KEYS_KEPT_S: Final = 5.0
"""A revoked key works so long at most in processes that knew it."""

MOST_KEYS_KEPT: Final = 1024


class Guard:
    """The keys and limits of one application; made when it starts.

    Attributes:
        listeners: who follows its events now.
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
        self.listeners: set[object] = set()

    async def caller(self, connection: Connection) -> Caller:
        """Who sends this request.

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
        """The sender, whatever key came."""
        return caller_from(connection, self._trusted)

    async def allowance(self, caller: Caller) -> Allowance | None:
        """Count this request; None where the caller is not limited: a program of this machine without a key."""
        if caller.key is None:
            return None if caller.is_local else await self._limiter.count(self._per_address, caller.name)
        limit = parsed_limit(caller.key.rate_limit) if caller.key.rate_limit else self._per_key
        return await self._limiter.count(limit, caller.name)

    async def close(self) -> None:
        """Close the connections."""
        await self._limiter.close()

    async def _key(self, text: str) -> Key | None:
        now = time.monotonic()
        if (known := self._known.get(text)) and known[0] > now:
            return known[1]
        key = await to_thread.run_sync(self._read, text, limiter=self._threads)
        if len(self._known) >= MOST_KEYS_KEPT:
            self._known.clear()
        if key:  # what is no key is not kept: it would push keys out
            self._known[text] = (now + KEYS_KEPT_S, key)
        return key

    def _read(self, text: str) -> Key | None:
        self._book = self._book or KeyBook.from_settings(self._settings)
        return self._book.find(text)


def check(caller: Caller, scope: Scope) -> None:
    """Let the caller pass.

    Raises:
        AuthenticationError: it needs a key.
        PermissionDeniedError: its key does not reach so far.
    """
    if caller.is_refused:
        raise AuthenticationError("an API key came that is not valid (any more); one of `service.keys create` was due")
    if caller.allows(scope):
        return
    if caller.key is None:
        raise AuthenticationError(
            f"no API key came; one with the scope {scope} was due, as X-API-Key or Authorization: Bearer"
        )
    raise PermissionDeniedError(f"a key with the scope {caller.key.scope} came; one with the scope {scope} was due")


def caller_of(request: Request) -> Caller:
    """Who asks."""
    caller: Caller = request.state.caller
    return caller


def admin(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
    """An operator, by a key with the scope admin.

    Raises:
        AuthenticationError: it needs a key.
        PermissionDeniedError: its key does not reach so far.
    """
    check(caller, "admin")
    return caller


CallerDep = Annotated[Caller, Depends(caller_of)]
AdminDep = Annotated[Caller, Depends(admin)]
