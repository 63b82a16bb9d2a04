"""Logging of every process: text or one JSON object per line, with context fields and without passwords."""

import json
import logging
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from time import monotonic
from typing import Final, Literal

LogFormat = Literal["text", "json"]

_SECRET: Final = re.compile(r"(?<=://)([^\s:/@'\"]*):([^\s/'\"]*)@")
"""Password of a URL, up to the last @ before the host: a password may contain that character."""

_NO_HANDLE: Final = "socket.accept() out of system resource"
_CHATTY: Final = ("httpx2", "watchfiles", "alembic")
_context: ContextVar[Mapping[str, str]] = ContextVar("log_about", default={})  # noqa: B039 - never changed in place


@contextmanager
def log_context(**names: object) -> Iterator[None]:
    """Add context fields to every log line of the block: `forecast_id`, `reference_time`, `model`, `task_id`, ..."""
    token = _context.set({**_context.get(), **{name: str(value) for name, value in names.items() if value is not None}})
    try:
        yield
    finally:
        _context.reset(token)


def add_log_context(**names: object) -> None:
    """Add context fields to log lines until the end of this context (a request's task, a thread)."""
    _context.set({**_context.get(), **{name: str(value) for name, value in names.items() if value is not None}})


def set_log_context(names: Mapping[str, str]) -> None:
    """Replace all context fields until the end of this context."""
    _context.set(dict(names))


def current_log_context() -> dict[str, str]:
    """Return the current context fields, for passing them to another process."""
    return dict(_context.get())


def without_passwords(text: str) -> str:
    """Return the text with the password of every URL replaced."""
    return _SECRET.sub(r"\1:***@", text)


class TextLines(logging.Formatter):
    """Formatter of text lines: time, level, logger, message, and the context fields in brackets."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """Return the line without its traceback."""
        context = " ".join(f"{name}={value}" for name, value in _context.get().items())
        return super().formatMessage(record) + (f" [{context}]" if context else "")

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole text of an event."""
        return without_passwords(super().format(record))


class JsonLines(logging.Formatter):
    """Formatter of JSON lines: `at`, `level`, `logger`, `process`, `message`, the context fields, `traceback`."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        """Return the event as one line; a line break in a message is escaped."""
        event: dict[str, object] = {
            **_context.get(),
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "part": self._part,
            "process": record.process,
            "logger": record.name,
            "message": without_passwords(record.getMessage()),
        }
        if record.exc_info:
            event["traceback"] = without_passwords(self.formatException(record.exc_info))
        return json.dumps(event, ensure_ascii=False)


class Seldom(logging.Filter):
    """Lets a message that is repeated pass once a minute.

    Without a free file handle asyncio reports each waiting connection with a traceback, thousands a second, and fills
    the disk with them.
    """

    def __init__(self, text: str, every_s: float = 60.0, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._text, self._every_s, self._clock = text, every_s, clock
        self._next_s = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written."""
        if self._text not in record.getMessage():
            return True
        now_s = self._clock()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._every_s
        return True


def set_up_logs(part: str, level: str, log_format: LogFormat) -> None:
    """Send the lines of every logger, of libraries too, to standard error in one format.

    A program that already has handlers of its own keeps them.
    """
    root = logging.getLogger()
    if any(not isinstance(handler.formatter, TextLines | JsonLines) for handler in root.handlers):
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(part) if log_format == "json" else TextLines())
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.propagate = library.propagate or bool(library.handlers)  # `--no-access-log` leaves it without either
        library.handlers.clear()
    library = logging.getLogger("asyncio")
    if not any(isinstance(one, Seldom) for one in library.filters):
        library.addFilter(Seldom(_NO_HANDLE))
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
