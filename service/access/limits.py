"""Rate limits per caller: a sliding window, counted in Redis for all processes together, else in this one."""

import logging
import math
import time
from dataclasses import dataclass
from typing import Any, Final

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from core.errors import ConfigError

log = logging.getLogger(__name__)

PREFIX: Final = "nowcast-limit"
REDIS_WAIT_S: Final = 0.5
REDIS_AGAIN_AFTER_S: Final = 5.0
"""How long each process counts for itself after Redis did not answer: no request waits for a queue that is gone."""


@dataclass(frozen=True)
class Allowance:
    """What a caller has left: `remaining` of `limit` requests in `window_s`; after `reset_s` there is more.

    `policy` is the kind of requests that are counted.
    """

    allowed: bool
    limit: int
    window_s: int
    remaining: int
    reset_s: int
    policy: str = "default"

    def headers(self) -> dict[str, str]:
        """Return the fields of draft-ietf-httpapi-ratelimit-headers, with `Retry-After` where nothing is left."""
        fields = {
            "RateLimit-Policy": f'"{self.policy}";q={self.limit};w={self.window_s}',
            "RateLimit": f'"{self.policy}";r={self.remaining};t={self.reset_s}',
        }
        return fields if self.allowed else {**fields, "Retry-After": str(self.reset_s)}


def parsed_limit(text: str) -> RateLimitItem:
    """Parse a limit like "600/minute" or "10 per second".

    Raises:
        ConfigError: it is no such limit.
    """
    try:
        return parse(text)
    except ValueError as err:
        raise ConfigError(f'rate limit: expected one like "600/minute", got {text!r}') from err


class Limiter:
    """Counter of requests by caller, for use from one event loop."""

    def __init__(self, redis_url: str | None) -> None:
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._own_until = 0.0
        self._pool: ConnectionPool | None = None
        self._shared: SlidingWindowCounterRateLimiter | None = None
        if redis_url:  # nothing is connected to yet
            self._pool = ConnectionPool.from_url(
                redis_url, socket_connect_timeout=REDIS_WAIT_S, socket_timeout=REDIS_WAIT_S
            )
            pool: Any = self._pool
            storage = RedisStorage(
                f"async+{redis_url}", implementation="redispy", key_prefix=PREFIX, connection_pool=pool
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def count(self, limit: RateLimitItem, caller: str, policy: str = "default") -> Allowance:
        """Count one request of `caller` against the `limit` of a policy; return what is left."""
        if self._shared and time.monotonic() >= self._own_until:
            try:
                return await _count(self._shared, limit, caller, policy)
            except (RedisError, OSError) as err:
                self._own_until = time.monotonic() + REDIS_AGAIN_AFTER_S
                log.warning("rate limits count in this process alone for now: %s", type(err).__name__)
        return await _count(self._own, limit, caller, policy)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._pool:
            await self._pool.disconnect()


async def _count(limiter: SlidingWindowCounterRateLimiter, limit: RateLimitItem, caller: str, policy: str) -> Allowance:
    allowed = await limiter.hit(limit, caller)
    reset_time, remaining = await limiter.get_window_stats(limit, caller)
    reset_s = max(1, math.ceil(reset_time - time.time()))
    return Allowance(allowed, limit.amount, limit.get_expiry(), remaining if allowed else 0, reset_s, policy)
