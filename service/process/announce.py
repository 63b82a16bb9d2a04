"""What the console says while the service starts: its address once that answers, and what the first forecast needs."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

LOOK_S: Final = 0.5
STEP_S: Final = 3.0
"""Time between two looks for the next step: each is a line of the access log."""

TIMEOUT_S: Final = 5.0
Fetch = Callable[[str], tuple[int, Any]]


def fetched(url: str) -> tuple[int, Any]:
    """Return status and JSON document of an address; status 0 while nothing answers there."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as err:
        return err.code, _document(err)
    except (OSError, ValueError):
        return 0, {}


def _document(err: urllib.error.HTTPError) -> Any:
    try:
        return json.load(err)
    except ValueError:
        return {}


async def announce(
    address: str,
    greeting: str,
    say: Callable[[str], object],
    fetch: Fetch = fetched,
    look_s: float = LOOK_S,
    step_s: float = STEP_S,
) -> None:
    """Print the greeting when the address answers, then each step until the first forecast is there.

    Args:
        address: of the service.
        greeting: what it shows.
        say: prints one line.
        fetch: returns status and document of an address.
        look_s: time between two looks for an answer.
        step_s: time between two looks for the next step.
    """
    began = monotonic()
    while (await asyncio.to_thread(fetch, f"{address}/livez"))[0] != 200:
        await asyncio.sleep(look_s)
    say(greeting)
    shown = ""
    while True:
        words = step_words(*await asyncio.to_thread(fetch, f"{address}/readyz"))
        if words is None:
            say(f"the first forecast is there, {monotonic() - began:.0f} s after the start")
            return
        if words and words != shown:
            shown = words
            say(words)
        await asyncio.sleep(step_s)


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
