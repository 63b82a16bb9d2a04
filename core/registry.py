"""Registry of plug-ins by name, for names from configuration files and requests."""

import logging
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from core.errors import UnknownNameError

log = logging.getLogger(__name__)
T = TypeVar("T")


class Registry(Generic[T]):
    """Typed table of plug-ins: `@CELLS.register("convlstm")` enters one, `CELLS.get("convlstm")` finds it.

    Args:
        kind: of the entries, for messages.
        plug_ins: group of entry points of other installed packages: each names a module, whose import registers
            something here. They are imported when the table is first read; one that fails is logged and left out.
    """

    def __init__(self, kind: str, plug_ins: str | None = None) -> None:
        self.kind = kind
        self._plug_ins = plug_ins
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
        self._load()
        if name in self._entries:
            return self._entries[name]
        near = get_close_matches(name, self._entries, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"there are: {', '.join(self.names())}"
        raise UnknownNameError(f"unknown {self.kind} {name!r}; {hint}")

    def names(self) -> list[str]:
        """Return all names in alphabetical order."""
        self._load()
        return sorted(self._entries)

    def items(self) -> Iterator[tuple[str, T]]:
        """Return all entries in the order of registration."""
        self._load()
        yield from self._entries.items()

    def __contains__(self, name: object) -> bool:
        self._load()
        return isinstance(name, str) and name in self._entries  # one from a client may be a list

    def __len__(self) -> int:
        self._load()
        return len(self._entries)

    def _load(self) -> None:
        """Import the plug-ins of other packages, once; while they are imported the table is read as it is."""
        group, self._plug_ins = self._plug_ins, None
        for plug_in in entry_points(group=group) if group else ():
            try:
                plug_in.load()
            except Exception:  # of somebody else's code: it must not cost the entries of ours
                log.exception("plug-in %s of %s (%s) is left out", plug_in.name, group, plug_in.value)
