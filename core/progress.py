"""Progress of long work on standard error: a bar with an estimate on a terminal, a line a minute elsewhere."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from time import perf_counter
from typing import Final, Self, TextIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

Item = TypeVar("Item")
FIRST_LINE_S: Final = 10.0
LINE_EVERY_S: Final = 60.0


class Progress:
    """Counts the parts of some work; use it as a context.

    Args:
        total: number of parts; None if it is not known.
        what: one part, in words: `window`.
        before: parts that an earlier run has done.
        scale: parts that are shown as one: a million for bytes in MB.
        stream: None is standard error.
        clock: seconds.
    """

    def __init__(
        self,
        total: int | None,
        what: str,
        *,
        before: int = 0,
        scale: int = 1,
        stream: TextIO | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.total, self.before, self.done = total, before, before
        self._what, self._clock, self._stream, self._scale = what, clock, stream or sys.stderr, scale
        self._began = clock()
        self._line_at = self._began + FIRST_LINE_S
        self._bar = self._new_bar() if self._stream.isatty() else None
        self._task = None if self._bar is None else self._add_task(self._bar)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, note: str = "", *, count: int = 1) -> None:
        """Count parts that are done.

        Args:
            note: which one, in words.
            count: number of parts.
        """
        self.done += count
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done / self._scale, note=note)
            return
        now = self._clock()
        if now < self._line_at and self.done != self.total:
            return
        self._line_at = now + LINE_EVERY_S
        of = f" of {self.total // self._scale:,}" if self.total is not None else ""
        self._stream.write(
            f"{self._what} {self.done // self._scale:,}{of}{f' ({note})' if note else ''}{self._left(now)}\n"
        )
        self._stream.flush()

    def _left(self, now: float) -> str:
        """Return the estimate of the remaining time, in words."""
        new = self.done - self.before
        if self.total is None or new <= 0 or self.done >= self.total:
            return f", {time_words(now - self._began)}"
        return f", about {time_words((now - self._began) / new * (self.total - self.done))} left"

    def _add_task(self, bar: Bar) -> TaskID:
        total = None if self.total is None else self.total / self._scale
        return bar.add_task(self._what, total=total, completed=self.before / self._scale, note="")  # type: ignore[arg-type]

    def _new_bar(self) -> Bar:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        return Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(file=self._stream))


def followed(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield items, and show how many are done.

    Args:
        items: whose number is taken if they have a length.
        what: one of them, in words.
        total: their number, of items without a length.
    """
    known = len(items) if total is None and isinstance(items, Sized) else total
    with Progress(known, what) as progress:
        for item in items:
            yield item
            progress.step()


def time_words(seconds: float) -> str:
    """Return a duration in words: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
