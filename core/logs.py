"""Log lines of every process alike: text or one JSON object each, with what they are about, and without passwords."""

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Literal

LogFormat = Literal["text", "json"]

_SECRET: Final = re.compile(r"(?<=://)([^\s:/@'\"]*):([^\s/'\"]*)@")
"""The password of a URL: up to the last @ before the host, so that one in the password does not end it."""

_CHATTY: Final = ("httpx2", "watchfiles", "alembic")
_about: ContextVar[Mapping[str, str]] = ContextVar("log_about", default={})  # noqa: B039 - never changed in place


@contextmanager
def about(**names: object) -> Iterator[None]:
    """Say in every line of the block what it is about: `forecast_id`, `reference_time`, `model`, `task_id`, ..."""
    token = _about.set({**_about.get(), **{name: str(value) for name, value in names.items() if value is not None}})
    try:
        yield
    finally:
        _about.reset(token)


def tell(**names: object) -> None:
    """As `about`, to the end of this context (a request's task, a thread)."""
    _about.set({**_about.get(), **{name: str(value) for name, value in names.items() if value is not None}})


def tell_only(names: Mapping[str, str]) -> None:
    """As `tell`, and forget what was told before."""
    _about.set(dict(names))


def now_about() -> dict[str, str]:
    """What lines are about here, to be handed on to another process."""
    return dict(_about.get())


def without_passwords(text: str) -> str:
    """The text with the password of every URL in it replaced."""
    return _SECRET.sub(r"\1:***@", text)


class TextLines(logging.Formatter):
    """Time, level, logger, message, and in brackets what it is about."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """The line before any traceback."""
        told = " ".join(f"{name}={value}" for name, value in _about.get().items())
        return super().formatMessage(record) + (f" [{told}]" if told else "")

    def format(self, record: logging.LogRecord) -> str:
        """The whole text."""
        return without_passwords(super().format(record))


class JsonLines(logging.Formatter):
    """One JSON object per event: `at`, `level`, `logger`, `process`, `message`, what it is about, `traceback`."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        """The line; a line break in a message stays within it."""
        told: dict[str, object] = {
            **_about.get(),
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "part": self._part,
            "process": record.process,
            "logger": record.name,
            "message": without_passwords(record.getMessage()),
        }
        if record.exc_info:
            told["traceback"] = without_passwords(self.formatException(record.exc_info))
        return json.dumps(told, ensure_ascii=False)


def set_up_logs(part: str, level: str, log_format: LogFormat) -> None:
    """Send every logger's lines to standard error in one format, those of libraries that set up their own too.

    A program that has handlers of its own already keeps them.
    """
    root = logging.getLogger()
    if any(not isinstance(handler.formatter, TextLines | JsonLines) for handler in root.handlers):
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(part) if log_format == "json" else TextLines())
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
