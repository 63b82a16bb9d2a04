"""Contents of files that stay in memory, up to a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class HeldContents(Generic[Key, Value]):
    """The most recently used contents by key; safe to share between threads.

    Args:
        most_bytes: the least recently used contents beyond it are dropped; one always stays.
        size: memory of a content in bytes.
    """

    def __init__(self, most_bytes: int, size: Callable[[Value], int]) -> None:
        self._most_bytes: Final = most_bytes
        self._size, self._bytes = size, 0
        self._held: OrderedDict[Key, Value] = OrderedDict()
        self._lock, self._reading = threading.Lock(), threading.Lock()

    def find(self, key: Key) -> Value | None:
        """Return the content if it is in memory."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

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
            self._held[key] = value
            self._bytes += self._size(value)
            while len(self._held) > 1 and self._bytes > self._most_bytes:
                self._bytes -= self._size(self._held.popitem(last=False)[1])
        return value
