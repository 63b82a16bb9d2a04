"""Mutated files, requests, settings and status files: nothing but the documented errors may come of them.

`python -m tests.fuzz.run [--seed 24 --seconds 60 --cases 0 --only readers,requests,settings,status]`

`--cases` is a number of cases of each target in place of the time. One seed gives one sequence of cases; the number of
a case that fails is printed with what it was. The corpus is `tests/golden` (the files of readers), the OpenAPI document
(every route), the fields of `Settings`, and a status file.
"""

import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx2
import typer
from starlette.testclient import TestClient

from core.errors import ConfigError, InputError
from core.settings import PREFIX, Settings, settings_from_environment
from ingest.readers import read_frames
from ingest.store.status import STATUS_FILE, read_beat, status_of
from tests.service.api_support import NOW, fill, running, service_at

GOLDEN: Final = Path(__file__).resolve().parents[1] / "golden"
SUFFIXES: Final = (".nc", ".zip", ".h5", ".hdf5", ".gz")
ODD: Final = (
    *(
        "",
        "0",
        "-1",
        "1e309",
        "nan",
        "inf",
        "9" * 400,
        "\x00",
        "\ud7ff",
        "%00",
        "../../etc/passwd",
        "'; DROP TABLE scans",
    ),
    *("13.4,52.5", "181,91,-181,-91", "latest", "default", "null", "[]", "{}", "[" * 500, "POINT(13.4 52.5)", "true"),
    *("POLYGON((9 50, 11 50, 10 52, 9 50))", "2024-06-01T12:00:00Z", "9999-12-31T23:59:59Z", "-0001-01-01T00:00:00Z"),
    *("image/png", "Europe/Berlin", "rainfall_rate", "EPSG:3857", "1.3.0", "GetMap", "a" * 3000, "٣", "🌧"),
)
ENDLESS: Final = ("/events", "/rules/events")
"""Streams that do not end."""

LIMITS: Final[dict[str, Any]] = {"max_bytes": 2**26, "max_frames": 50, "max_cells": 2_000_000}
BUSY: Final = (429, 503)
LONGEST_S: Final = 60.0
"""Of one file; the decoder of the service has a limit of its own (`NOWCAST_UPLOAD_DECODE_S`)."""

LONGEST_REQUEST_S: Final = 2.0
"""Of processor time, as the clock also counts what other processes do; the API answers in the process of the fuzzer."""
Case = Callable[[random.Random], tuple[str, str | None]]
"""Makes and tries one case: what kind of end it had, and what is wrong with that (None: nothing)."""


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The bytes with some flipped, cut out, doubled, or replaced."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5, 40))):
        if not changed:
            break
        place = chance.randrange(len(changed))
        if chance.random() < 0.3:
            place = chance.randrange(min(600, len(changed)))  # the head decides the most
        length = chance.choice((1, 2, 8, 200))
        how = chance.randrange(5)
        if how == 0:
            changed[place] ^= 1 << chance.randrange(8)
        elif how == 1:
            changed[place : place + length] = chance.randbytes(length)
        elif how == 2:
            del changed[place : place + length]
        elif how == 3:
            changed[place:place] = changed[place : place + length]
        else:
            del changed[place:]
    return bytes(changed)


def reader_case(chance: random.Random) -> tuple[str, str | None]:
    files = [path for path in sorted(GOLDEN.iterdir()) if path.suffix in SUFFIXES]
    path = chance.choice(files)
    content = mutated(path.read_bytes(), chance)
    began = time.process_time()
    try:
        frames = read_frames(content, name=path.name, **LIMITS)
    except InputError as err:
        return type(err).__name__, _slow(path.name, began, LONGEST_S)
    except Exception as err:
        return "fault", f"{path.name}: {type(err).__name__}: {err}"
    if any(frame.valid_time.tzinfo is None or frame.rate_mmh_HW.ndim != 2 for frame in frames):
        return "read", f"{path.name}: a frame without a time zone or shape"
    return "read", _slow(path.name, began, LONGEST_S)


def _slow(name: str, began: float, most_s: float) -> str | None:
    took_s = time.process_time() - began
    return f"{name}: {took_s:.1f} s" if took_s > most_s else None


def settings_case(chance: random.Random) -> tuple[str, str | None]:
    names = chance.sample(sorted(Settings.model_fields), chance.choice((1, 1, 2, 4)))
    values = {f"{PREFIX}{name.upper()}": chance.choice(ODD).replace("\x00", "") for name in names}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: value.encode("utf-8", "replace").decode() for name, value in values.items()})
    try:
        settings_from_environment()
        return "accepted", None
    except ConfigError as err:
        return "refused", None if any(name in str(err) for name in values) else f"{values}: {err} names none of them"
    except Exception as err:
        return "fault", f"{values}: {type(err).__name__}: {err}"
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def odd_json(chance: random.Random, depth: int = 0) -> Any:
    """A JSON document of any shape."""
    kind = chance.randrange(4 if depth > 3 else 7)
    if kind < 4:
        return chance.choice((None, True, 7, -1.5, 1e300, "2024-06-01T12:00:00Z", "x" * chance.randrange(200), ""))
    if kind < 5:
        return [odd_json(chance, depth + 1) for _ in range(chance.randrange(4))]
    names = ("updated_at", "sources", "paused", "paused_since", "error", "last_look_at", "outage_since", "x")
    return {chance.choice(names): odd_json(chance, depth + 1) for _ in range(chance.randrange(5))}


def status_case(chance: random.Random) -> tuple[str, str | None]:
    text = json.dumps(odd_json(chance)).encode()
    text = mutated(text, chance) if chance.random() < 0.3 else text
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / STATUS_FILE).write_bytes(text)
        try:
            status = status_of({}, {}, read_beat(Path(folder)), NOW)
            json.dumps(status.to_dict())
            return f"{min(3, len(status.warnings))} warnings", None
        except Exception as err:
            return "fault", f"{text[:200]!r}: {type(err).__name__}: {err}"


def request_cases(client: TestClient) -> Case:
    """Requests of every route and method of the document, with odd values, names, bodies and headers."""
    document = client.get("/openapi.json").json()
    operations = [(method, path, one) for path, methods in document["paths"].items() for method, one in methods.items()]
    operations = [one for one in operations if one[1] not in ENDLESS and one[0] in ("get", "post", "put", "delete")]

    def case(chance: random.Random) -> tuple[str, str | None]:
        method, path, operation = chance.choice(operations)
        query = {}
        for parameter in operation.get("parameters", ()):
            value = chance.choice((*ODD, str(parameter.get("example", "")), "latest"))
            if parameter["in"] == "path":
                name = quote(value.encode("utf-8", "replace"), safe="") or "x"
                path = path.replace(f"{{{parameter['name']}}}", chance.choice((name, "latest")))
            elif parameter["in"] == "query" and chance.random() < 0.6:
                query[parameter["name"]] = value
        if chance.random() < 0.1:
            query[chance.choice(ODD)] = chance.choice(ODD)
        body = mutated(json.dumps(odd_json(chance)).encode(), chance) if method in ("post", "put") else None
        kind = chance.choice(("application/json", "multipart/form-data; boundary=x", "text/plain", ""))
        began = time.process_time()
        try:
            answer = client.request(method, path, params=query, content=body, headers={"Content-Type": kind})
        except (ValueError, httpx2.InvalidURL):  # the client itself refuses to send it
            return "not sent", None
        words = f"{method} {path} {query} {body!r}"
        if answer.status_code >= 500 and answer.status_code not in BUSY:
            return str(answer.status_code), f"{words}: {answer.text[:300]}"
        return str(answer.status_code), _slow(words, began, LONGEST_REQUEST_S)

    return case


@contextmanager
def targets(home: Path, names: list[str]) -> Iterator[dict[str, Case]]:
    """The cases by the names of their targets."""
    found: dict[str, Case] = {"readers": reader_case, "settings": settings_case, "status": status_case}
    if unknown := set(names) - {*found, "requests"}:
        raise ValueError(f"expected targets of {[*found, 'requests']}, got {sorted(unknown)}")
    chosen = {name: case for name, case in found.items() if name in names}
    if "requests" not in names:
        yield chosen
        return
    service = service_at(home)
    fill(service)
    service.forecast_stored()
    with running(service) as client:
        yield {**chosen, "requests": request_cases(client)}


def fuzz(
    home: Path, seed: int, seconds: float, names: list[str], cases_each: int = 0
) -> tuple[dict[str, Counter[str]], list[str]]:
    """Try cases of each target, a number or for its share of the time; their ends by target, and what is wrong."""
    ends: dict[str, Counter[str]] = {}
    problems: list[str] = []
    with targets(home, names) as cases:
        for name, case in cases.items():
            ends[name], number = Counter(), 0
            until = time.monotonic() + seconds / len(cases)
            while number < cases_each if cases_each else time.monotonic() < until:
                end, problem = case(random.Random(f"{seed}:{name}:{number}"))
                ends[name][end] += 1
                problems += [f"{name} {number} of seed {seed}: {problem}"] if problem else []
                number += 1
    return ends, problems


def main(seed: int = 24, seconds: float = 60.0, cases: int = 0, only: str = "readers,requests,settings,status") -> None:
    """Fuzz and print the counts."""
    with tempfile.TemporaryDirectory() as folder:
        ends, problems = fuzz(Path(folder), seed, seconds, only.split(","), cases)
    for name, counts in ends.items():
        print(f"{name}: {counts.total():,} cases: {dict(counts.most_common())}")
    print("\n".join(one[:500] for one in problems[:30]))
    sys.exit(int(bool(problems)))


if __name__ == "__main__":
    typer.run(main)
