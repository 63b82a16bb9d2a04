"""Log lines: one object each, what they are about, and never a password."""

import json
import logging
import subprocess
import sys
import threading

import pytest

from core.logs import (
    JsonLines,
    Seldom,
    TextLines,
    add_log_context,
    current_log_context,
    log_context,
    set_log_context,
    without_passwords,
)
from tests.waiting import PATIENCE_S


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("service.test", logging.WARNING, __file__, 1, message, args, exc_info)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://:secret@127.0.0.1:6379/0", "redis://:***@127.0.0.1:6379/0"),
        ("to postgresql+psycopg://me:s3cr:et@db/x failed", "to postgresql+psycopg://me:***@db/x failed"),
        ("two redis://a:b@c, redis://d:e@f", "two redis://a:***@c, redis://d:***@f"),
        ("redis://me:at@sign@queue/0", "redis://me:***@queue/0"),
        ("https://opendata.dwd.de/weather/radar at 12:30 to x@y.de", None),
        ("http://127.0.0.1:8000/nowcast?at=x@y", None),
        ("redis://queue:6379/0", None),
    ],
)
def test_passwords_of_urls_are_left_out(text: str, expected: str | None):
    assert without_passwords(text) == (expected or text)


def test_a_json_line_is_one_object_with_what_it_is_about():
    try:
        raise ValueError("no answer from redis://:secret@queue/0\nat all")
    except ValueError as err:
        failure = err
    with log_context(forecast_id="f", model="default", nothing=None), log_context(model="other"):
        line = JsonLines("worker").format(record("cannot ask %s\nnow", "redis://:secret@queue/0", error=failure))
    assert "\n" not in line
    assert "secret" not in line
    event = json.loads(line)
    assert event["message"] == "cannot ask redis://:***@queue/0\nnow"
    assert event["forecast_id"] == "f"
    assert event["model"] == "other"
    assert (event["level"], event["logger"], event["part"]) == ("WARNING", "service.test", "worker")
    assert event["traceback"].endswith("at all")
    assert "nothing" not in event


def test_a_text_line_has_the_context_before_its_traceback():
    with log_context(task_id="t"):
        line = TextLines().format(record("redis://:secret@queue/0", error=ValueError("redis://:secret@queue/0")))
    first, *rest = line.splitlines()
    assert first.endswith("WARNING service.test redis://:***@queue/0 [task_id=t]")
    assert rest == ["ValueError: redis://:***@queue/0"]


def test_what_lines_are_about_is_of_one_context():
    seen = {}
    set_log_context({})
    add_log_context(request_id="r")

    def elsewhere() -> None:
        seen.update(current_log_context())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == {}
    assert current_log_context() == {"request_id": "r"}
    set_log_context({})
    assert current_log_context() == {}


def test_a_program_s_own_handlers_stay_and_libraries_lose_theirs():
    code = """
import logging, sys
from core.logs import set_up_logs
logging.getLogger("uvicorn").addHandler(logging.StreamHandler(sys.stdout))
set_up_logs("api", "INFO", "json")
set_up_logs("api", "INFO", "json")
logging.getLogger("uvicorn.error").info("once")
mine = logging.NullHandler()
logging.getLogger().handlers[:] = [mine]
set_up_logs("api", "INFO", "text")
assert logging.getLogger().handlers == [mine]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert done.stdout == ""
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["once"]


def test_a_server_without_an_access_log_writes_none():
    """The lines of requests would else pass to the project's own handler: 400 silent sockets once wrote 138 MB."""
    code = """
import logging, sys, uvicorn
from core.logs import set_up_logs
uvicorn.Config("app:app", access_log=sys.argv[1] == "with")
set_up_logs("api", "INFO", "json")
logging.getLogger("uvicorn.access").info("a request")
logging.getLogger("uvicorn.error").info("a start")
"""
    lines = {}
    for option in ("with", "without"):
        command = [sys.executable, "-c", code, option]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
        lines[option] = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    assert lines == {"with": ["a request", "a start"], "without": ["a start"]}


def test_a_shortage_of_handles_does_not_fill_the_disk_with_lines():
    """asyncio reports each waiting connection: 1,200 tracebacks in four seconds."""
    now_s = [0.0]
    seldom = Seldom("out of system resource", clock=lambda: now_s[0])
    lines = [logging.makeLogRecord({"msg": f"socket.accept() {text}"}) for text in ("out of system resource", "else")]
    written = [[seldom.filter(line) for line in lines] for _ in range(3)]
    assert written == [[True, True], [False, True], [False, True]]
    now_s[0] = 61.0
    assert seldom.filter(lines[0]), "once a minute, so that a shortage that lasts shows"
    code = """
import logging
from core.logs import set_up_logs
set_up_logs("api", "INFO", "json")
for _ in range(3):
    logging.getLogger("asyncio").error("socket.accept() out of system resource")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert len(done.stderr.splitlines()) == 1
