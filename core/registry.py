"""Registry of plug-ins by name, for names from configuration files and requests."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Generic, TypeVar

from core.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Typed table of plug-ins: `@CELLS.register("convlstm")` enters one, `CELLS.get("convlstm")` finds it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return the decorator that registers an object under `name`.

        Raises:
            ValueError: the name is taken, so that no plug-in replaces another silently.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered already, as {self._entries[name]!r}")

        def enter(entry: T) -> T:
            self._entries[name] = entry
            return entry

        return enter

    def get(self, name: str) -> T:
        """Return the entry of a name.

        Raises:
            UnknownNameError: no entry has that name; the message lists similar names, or all of them.
        """
        if name in self._entries:
            return self._entries[name]
        near = get_close_matches(name, self._entries, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"there are: {', '.join(self.names())}"
        raise UnknownNameError(f"unknown {self.kind} {name!r}; {hint}")

    def names(self) -> list[str]:
        """Return all names in alphabetical order."""
        return sorted(self._entries)

    def items(self) -> Iterator[tuple[str, T]]:
        """Return all entries in the order of registration."""
        yield from self._entries.items()

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)
