"""Contents of files that stay in memory, up to a number of bytes, and while somebody asks for them."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

IDLE_S: Final = 600.0


class HeldContents(Generic[Key, Value]):
    """The most recently used contents by key; safe to share between threads.

    Args:
        most_bytes: the least recently used contents beyond it are dropped; one always stays.
        size: memory of a content in bytes.
        idle_s: contents that nobody has asked for in this time are dropped when another one comes.
        clock: seconds; a test replaces it.
    """

    def __init__(
        self,
        most_bytes: int,
        size: Callable[[Value], int],
        idle_s: float = IDLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_bytes: Final = most_bytes
        self._size, self._bytes = size, 0
        self._idle_s, self._clock = idle_s, clock
        self._held: OrderedDict[Key, tuple[Value, float]] = OrderedDict()
        self._lock, self._reading = threading.Lock(), threading.Lock()

    def find(self, key: Key) -> Value | None:
        """Return the content if it is in memory."""
        with self._lock:
            if key not in self._held:
                return None
            value, _ = self._held.pop(key)
            self._held[key] = value, self._clock()
            return value

    def read(self, key: Key, load: Callable[[], Value]) -> Value:
        """Return the content, loaded at the first call; other calls wait for it and take the same.

        One is loaded at a time: a map asks for all of its tiles at once, and several large grids would need the memory
        of all of them. What `load` raises goes to its own caller alone.
        """
        held = self.find(key)
        if held is not None:
            return held
        with self._reading:
            held = self.find(key)
            return self._keep(key, load()) if held is None else held

    def _keep(self, key: Key, value: Value) -> Value:
        with self._lock:
            now_s = self._clock()
            self._held[key] = value, now_s
            self._bytes += self._size(value)
            while len(self._held) > 1 and self._drops_oldest(now_s):
                _, (oldest, _) = self._held.popitem(last=False)
                self._bytes -= self._size(oldest)
        return value

    def _drops_oldest(self, now_s: float) -> bool:
        _, used_s = next(iter(self._held.values()))
        return self._bytes > self._most_bytes or now_s - used_s > self._idle_s
