"""What the console says: the address once it answers, what the first forecast needs, and when scans stay away."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from time import monotonic
from typing import Any, Final

LOOK_S: Final = 0.5
STEP_S: Final = 3.0
"""Time between two looks for the next step: each is a line of the access log."""

WATCH_S: Final = 15.0
"""Time between two looks whether scans still arrive."""

TIMEOUT_S: Final = 5.0
STALE: Final = "stale: "
Fetch = Callable[[str], tuple[int, Any]]


def fetched(url: str) -> tuple[int, Any]:
    """Return status and JSON document of an address; status 0 while nothing answers there."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as err:
        return err.code, _document(err)
    except (OSError, ValueError, HTTPException):  # the last one of an answer that ends too early
        return 0, {}


def _document(err: urllib.error.HTTPError) -> Any:
    try:
        return json.load(err)
    except (OSError, ValueError, HTTPException):
        return {}


async def announce(
    address: str,
    greeting: str,
    say: Callable[[str], object],
    fetch: Fetch = fetched,
    look_s: float = LOOK_S,
    step_s: float = STEP_S,
    watch_s: float = WATCH_S,
) -> None:
    """Print the greeting when the address answers, each step until the first forecast, then when scans stay away.

    Args:
        address: of the service.
        greeting: what it shows.
        say: prints one line.
        fetch: returns status and document of an address.
        look_s: time between two looks for an answer.
        step_s: time between two looks for the next step.
        watch_s: time between two looks whether scans still arrive.
    """
    began = monotonic()
    while (await asyncio.to_thread(fetch, f"{address}/livez"))[0] != 200:
        await asyncio.sleep(look_s)
    say(greeting)
    shown = ""
    while (words := step_words(*await asyncio.to_thread(fetch, f"{address}/readyz"))) is not None:
        if words and words != shown:
            shown = words
            say(words)
        await asyncio.sleep(step_s)
    say(f"the first forecast is there, {monotonic() - began:.0f} s after the start")
    await _watch_scans(address, say, fetch, watch_s)


async def _watch_scans(address: str, say: Callable[[str], object], fetch: Fetch, watch_s: float) -> None:
    """Print one line when the newest scan has become too old, and one when scans arrive again, without an end."""
    silent_since: float | None = None
    while True:
        words = silence_words(*await asyncio.to_thread(fetch, f"{address}/readyz"))
        if words and silent_since is None:
            silent_since = monotonic()
            say(f"no new scan: {words} ({address}/ingest says how the source responds)")
        elif words == "" and silent_since is not None:
            say(f"scans arrive again, after {(monotonic() - silent_since) / 60:.0f} minutes")
            silent_since = None
        await asyncio.sleep(watch_s)


def step_words(status: int, document: Any) -> str | None:
    """Return what the first forecast waits for, empty where that is not known; None once it is there."""
    if status == 503:
        return f"starting: {document.get('detail', 'not ready yet')}"
    if status != 200:
        return ""
    waiting = document.get("waiting_for")
    if waiting is None:
        return None
    command = f": {waiting['command']}" if waiting.get("command") else ""
    return f"waiting for the {waiting['kind']}: {waiting['detail']}{command}"


def silence_words(status: int, document: Any) -> str | None:
    """Return why the data are too old, empty where they are not; None where that is not known."""
    if status == 200:
        data = str(document.get("checks", {}).get("data", ""))
        return data.removeprefix(STALE) if data.startswith(STALE) else ""
    reasons = str(document.get("detail", "")) if status == 503 else ""
    _, found, rest = reasons.partition(f"data: {STALE}")
    return rest if found else None
