"""The poller of DWD's open data against a real HTTP server on the loopback, which serves real files."""

import gzip
import io
import select
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.errors import UnavailableError
from ingest.sources import polled
from ingest.sources.dwd import DwdSource, first_member
from ingest.sources.listing import RV, RY, files_of
from ingest.store.intake import Outcome
from ingest.store.live import Store
from ingest.worker.loop import IngestWorker
from tests.ingest.small_scans import GRID, small_file

NOW = datetime(2020, 1, 1, 16, 3, tzinfo=UTC)


class Server:
    """Files by path, listings of folders as nginx writes them, and all requests received."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.status: dict[str, int] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = ""
        self.now = NOW
        self.changed: dict[str, str] = {}
        self.modified: dict[str, str] = {}
        self.extra: dict[str, str] = {}
        self.trouble: dict[str, str] = {}
        self.closed = threading.Event()

    def paths(self) -> list[str]:
        asked, self.asked = [path for path, _ in self.asked], []
        return asked

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        self.asked.append((path, headers))
        if path in self.status:
            return self.status[path], self.extra, b"as ordered"
        if not path.endswith("/"):
            headers = {"Last-Modified": self.modified[path]} if path in self.modified else {}
            return (200, headers, self.files[path]) if path in self.files else (404, {}, b"")
        inside = sorted(name.rsplit("/", 1)[1] for name in self.files if name.startswith(path))
        if not inside:
            return 404, {}, b""
        lines = [self.line(path, name) for name in inside]
        tag = f'"{hash(tuple(lines))}"'
        if headers.get("If-None-Match") == tag:
            return 304, {}, b""
        page = "<html><a href='../'>../</a>\n" + "\n".join(lines) + "</html>"
        return 200, {"ETag": tag}, page.encode()

    def line(self, path: str, name: str) -> str:
        size, changed = len(self.files[path + name]), self.changed.get(path + name, "01-Jan-2020 16:02")
        return f'<a href="{name}">{name}</a>   {changed}  {size}'


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = state.answer(self.path, dict(self.headers.items()))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.send(body, state.trouble.get(self.path))

        def send(self, body: bytes, trouble: str | None) -> None:
            if trouble is None:
                self.wfile.write(body)
                return
            self.wfile.write(body[:100])
            self.close_connection = True
            with suppress(OSError):
                while trouble != "broken" and not state.closed.wait(0.02):
                    if trouble == "dripping":
                        self.wfile.write(body[100:101])
                    elif select.select([self.connection], [], [], 0)[0]:
                        return  # the other side gave up

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(state.now, usegmt=True)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    yield state
    state.closed.set()
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def source_of(server, store: Store, *, now: datetime = NOW) -> DwdSource:
    return DwdSource(
        server.url, store.home / "inbox", known=store.has_file_named, poll_s=30, clock=lambda: now, jitter=lambda: 0.5
    )


def worker_of(source: DwdSource, store: Store) -> IngestWorker:
    return IngestWorker(source, store, list, threading.Event())


def offer(server, shared_data: Path, *, first: int = 0, last: int = 13) -> None:
    for path in sorted((shared_data / "radolan/sequence_ry_20200101").glob("*.gz"))[first:last]:
        server.files[f"/radolan/ry/{path.name}"] = path.read_bytes()


def test_older_scans_are_fetched_once_and_then_only_new_ones(server, store, shared_data):
    offer(server, shared_data, last=12)
    server.files["/radolan/ry/raa01-ry_10000-2001011300-dwd---bin.gz"] = b"older than two and a half hours"
    server.files["/radolan/ry/raa01-ry_10000-latest-dwd---bin.gz"] = b"no time in its name"
    source = source_of(server, store)
    worker = worker_of(source, store)
    worker.look()
    asked = server.paths()
    assert asked[0] == "/radolan/ry/"
    assert asked[1].endswith("2001011555-dwd---bin.gz"), "the newest first"
    assert len(asked) == 13
    assert len(store.scans()) == 12
    worker.look()
    assert server.paths() == ["/radolan/ry/"]
    offer(server, shared_data)
    worker.look()
    assert server.paths()[1:] == ["/radolan/ry/raa01-ry_10000-2001011600-dwd---bin.gz"]
    assert len(store.scans()) == 13
    assert list((store.home / "inbox").iterdir()) == []
    assert worker.totals.rejected == 0


def test_requests_have_a_user_agent_and_conditions(server, store, shared_data):
    offer(server, shared_data, last=1)
    worker = worker_of(source_of(server, store, now=NOW - timedelta(hours=1)), store)
    worker.look()
    worker.look()
    listings = [headers for path, headers in server.asked if path == "/radolan/ry/"]
    assert "If-None-Match" not in listings[0]
    assert server.answer("/radolan/ry/", listings[1])[0] == 304
    assert all("ms-rnn-nowcast" in headers["User-Agent"] for _, headers in server.asked)


def test_a_restart_fetches_nothing_twice(server, store, shared_data):
    offer(server, shared_data)
    worker_of(source_of(server, store), store).look()
    server.paths()
    worker_of(source_of(server, Store(store.home)), store).look()
    assert server.paths() == ["/radolan/ry/"]


def test_marks_that_cannot_be_read_cost_nothing_but_a_line(server, store, shared_data, caplog):
    offer(server, shared_data)
    worker_of(source_of(server, store), store).look()
    (marks,) = store.home.glob("*.marks.json")
    marks.write_text("[1")
    server.paths()
    worker_of(source_of(server, Store(store.home)), store).look()
    assert server.paths() == ["/radolan/ry/"]
    assert "ingested files count as unchanged" in caplog.text


def test_files_left_in_the_inbox_by_a_crash_are_ingested(server, store, shared_data):
    offer(server, shared_data)
    name, content = next(iter(server.files.items()))
    inbox = store.home / "inbox"
    inbox.mkdir()
    (inbox / name.rsplit("/", 1)[1]).write_bytes(content)
    worker = worker_of(source_of(server, store), store)
    worker.look()
    assert name not in server.paths()
    assert len(store.scans()) == 13
    assert list(inbox.iterdir()) == []


@pytest.mark.parametrize("ry", ["missing", "late"])
def test_the_analysis_of_rv_stands_in_for_ry(server, store, shared_data, ry, caplog):
    content = (shared_data / "radolan/composite_rv_20250923_0855.tar").read_bytes()
    server.files["/composite/rv/composite_rv_20250923_0855.tar"] = content
    if ry == "late":
        offer(server, shared_data)
    worker = worker_of(source_of(server, store, now=datetime(2025, 9, 23, 8, 58, tzinfo=UTC)), store)
    worker.look()
    (scan,) = store.scans()
    assert (scan.product, scan.valid_time) == ("RV", datetime(2025, 9, 23, 8, 55, tzinfo=UTC))
    assert worker.totals.forecasts == 0
    assert f"RY is {'late' if ry == 'late' else 'not there'}" in caplog.text
    server.paths()
    worker.look()
    assert server.paths() == ["/radolan/ry/", "/composite/rv/"]


def test_a_failing_server_is_polled_at_growing_intervals(server, store, shared_data):
    offer(server, shared_data, last=2)
    server.status["/radolan/ry/"] = 503
    source = source_of(server, store, now=NOW - timedelta(hours=1))
    waits = []
    for _ in range(6):
        with pytest.raises(UnavailableError, match="503"):
            list(source.look())
        waits.append(source.wait_s)
    assert waits == [60, 120, 240, 300, 300, 300]
    del server.status["/radolan/ry/"]
    worker_of(source, store).look()
    assert source.wait_s == 30
    assert len(store.scans()) == 2


def test_hours_of_rw_are_fetched_on_request_and_start_no_forecast(server, store, shared_data):
    offer(server, shared_data)
    (rw,) = (shared_data / "radolan").glob("raa01-rw_10000-1408102050*")
    name = "raa01-rw_10000-2001011550-dwd---bin"
    content = gzip.decompress(rw.read_bytes()).replace(b"RW102050100000814", b"RW011550100000120", 1)
    server.files[f"/radolan/rw/{name}"] = content
    worker_of(source_of(server, store), store).look()
    assert store.products() == ["RY"]
    assert "/radolan/rw/" not in server.paths()
    hourly = DwdSource(server.url, store.home / "inbox", known=store.has_file_named, clock=lambda: NOW, hourly=True)
    worker_of(hourly, store).look()
    assert server.paths() == ["/radolan/ry/", "/radolan/rw/", f"/radolan/rw/{name}"]
    assert store.products() == ["RW", "RY"]
    assert store.latest().product == "RY"
    assert store.window().product == "RY"


def test_yw_is_polled_on_request_and_nothing_replaces_it(server, store, shared_data):
    offer(server, shared_data)
    source = DwdSource(server.url, store.home / "inbox", known=store.has_file_named, clock=lambda: NOW, product="YW")
    with pytest.raises(UnavailableError, match=r"no file in radolan/yw/$"):
        list(source.look())
    for path in [*server.files]:
        content = gzip.compress(gzip.decompress(server.files[path]).replace(b"RY", b"YW", 1))
        server.files[path.replace("/ry/raa01-ry", "/yw/raa01-yw")] = content
    server.paths()
    worker_of(source, store).look()
    assert store.products() == ["YW"]
    assert len(store.scans()) == 13
    assert {path.split("/")[2] for path in server.paths()} == {"yw"}


def test_the_waits_differ_by_chance(server, store):
    source = DwdSource(server.url, store.home / "inbox", known=lambda _: False, poll_s=30)
    with pytest.raises(UnavailableError, match=r"no file in radolan/ry/ and composite/rv/"):
        list(source.look())
    waits = {source.wait_s for _ in range(20)}
    assert len(waits) > 10
    assert all(30 <= wait_s <= 90 for wait_s in waits)


def test_a_server_that_refuses_connections_is_unavailable(store):
    source = DwdSource("http://127.0.0.1:9", store.home / "inbox", known=lambda _: False)
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9"):
        list(source.look())
    source = DwdSource("no url", store.home / "inbox", known=lambda _: False)
    with pytest.raises(UnavailableError, match="no url"):
        list(source.look())


def test_a_file_that_is_gone_or_too_large_does_not_stop_the_others(server, store, shared_data, monkeypatch, caplog):
    offer(server, shared_data)
    newest = "/radolan/ry/raa01-ry_10000-2001011600-dwd---bin.gz"
    server.status[newest] = 404
    monkeypatch.setattr(polled, "MAX_FILE_BYTES", 9_500)
    worker = worker_of(source_of(server, store), store)
    worker.look()
    assert len(store.scans()) == 11
    assert "too large" in caplog.text
    assert "status 404" in caplog.text


def test_a_file_fetched_while_it_was_written_is_fetched_again(server, store, shared_data):
    offer(server, shared_data)
    newest = "/radolan/ry/raa01-ry_10000-2001011600-dwd---bin.gz"
    whole = server.files[newest]
    server.files[newest] = whole[:3000]
    worker = worker_of(source_of(server, store), store)
    worker.look()
    worker.look()
    assert not (store.home / "quarantine").exists()
    server.files[newest] = whole
    worker.look()
    assert len(store.scans()) == 13
    server.paths()
    worker.look()
    assert server.paths() == ["/radolan/ry/"]


def test_a_file_that_stays_broken_is_quarantined_and_given_up(server, store, shared_data):
    offer(server, shared_data, first=12)
    server.files["/radolan/ry/raa01-ry_10000-2001011555-dwd---bin.gz"] = b"broken for good"
    worker = worker_of(source_of(server, store), store)
    for _ in range(5):
        worker.look()
    assert worker.totals.rejected == 1
    assert server.paths().count("/radolan/ry/raa01-ry_10000-2001011555-dwd---bin.gz") == 3
    assert len(list((store.home / "quarantine").iterdir())) == 2


def test_a_file_that_the_store_could_not_take_stays_in_the_inbox(server, store, shared_data):
    offer(server, shared_data, first=12)
    source = source_of(server, store)
    for arrival in source.look():
        source.settle(arrival, None)
    (kept,) = (store.home / "inbox").iterdir()
    (arrival, *_) = source.look()
    assert arrival.path == kept
    source.settle(arrival, Outcome(stored=1))
    assert not kept.exists()


def test_ticks_wait_and_end(server, store):
    stop = threading.Event()
    source = DwdSource(server.url, store.home / "inbox", known=lambda _: False, poll_s=0.01)
    ticks = source.ticks(stop)
    assert [next(ticks) for _ in range(3)] == [None] * 3
    stop.set()
    assert list(ticks) == []


@pytest.mark.parametrize(
    "line",
    [
        '<a href="{}">x</a>',
        "<A class=x HREF = '{}'>x</A>",
        "<td><a href={}>x</a></td>",
        '<a href="/weather/radar/radolan/ry/{}?a=1">x</a>',
        '<a href="https://opendata.dwd.de/weather/radar/radolan/ry/{}" title="y">x</a>',
    ],
)
def test_listings_of_any_layout(line):
    names = ["raa01-ry_10000-2608240615-dwd---bin.bz2", "raa01%2Dry_10000-2608240610-dwd---bin.bz2"]
    files = files_of(
        RY, "\n".join(map(line.format, [*names, "../", "?C=M;O=A", "raa01-rw_10000-2608240620-dwd---bin"]))
    )
    assert [file.time for file in files] == [datetime(2026, 8, 24, 6, minute, tzinfo=UTC) for minute in (10, 15)]
    assert files[1].name == names[0]


def test_of_several_formats_of_the_newest_scan_one_is_taken():
    names = [f"raa01-ry_10000-26082406{m}-dwd---bin{kind}" for m in (10, 15) for kind in (".bz2", ".hdf5", ".xyz")]
    assert [file.kind for file in files_of(RY, " ".join(f'<a href="{name}">' for name in names))] == [".bz2"] * 2
    later = [*names, "raa01-ry_10000-2608240620-dwd---bin.hdf5"]
    assert [file.kind for file in files_of(RY, " ".join(f'<a href="{name}">' for name in later))] == [".hdf5"] * 3
    assert files_of(RY, "<html>") == []
    assert files_of(RY, '<a href="raa01-ry_10000-2613990615-dwd---bin">') == [], "no such month"


def test_both_generations_of_rv_names():
    page = '<a href="composite_rv_20250923_0855.tar"><a href="composite_rv_LATEST.tar">'
    assert [file.time for file in files_of(RV, page)] == [datetime(2025, 9, 23, 8, 55, tzinfo=UTC)]
    page = '<a href="DE1200_RV2305081330.tar.bz2"><a href="DE1200_RV_LATEST.tar.bz2">'
    assert [file.time for file in files_of(RV, page)] == [datetime(2023, 5, 8, 13, 30, tzinfo=UTC)]


def test_the_first_member_is_the_one_of_lead_0():
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:bz2") as tar:
        for name in ("rv_120", "rv_000", "rv_005"):
            info = tarfile.TarInfo(name)
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    assert first_member(packed.getvalue()) == b"rv_000"
    assert first_member(b"no archive") == b"no archive"
    assert first_member(packed.getvalue()[:30]) == packed.getvalue()[:30]


def newest_of(server: Server) -> str:
    return max(path for path in server.files if path.startswith("/radolan/ry/"))


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "ingest was down"])
def test_a_file_that_is_issued_again_is_fetched_again_and_replaces(server, store, shared_data, restarted):
    """The listing shows a change: a final file under the name of the provisional one."""
    offer(server, shared_data)
    newest = newest_of(server)
    worker = worker_of(source_of(server, store), store)
    server.modified[newest] = "Wed, 01 Jan 2020 16:02:00 GMT"
    worker.look()
    before = store.scans()
    server.paths()
    worker.look()
    assert server.paths() == ["/radolan/ry/"]
    server.files[newest] = gzip.compress(gzip.decompress(server.files[newest]).replace(b"\x00\x00", b"\x01\x00", 1))
    server.changed[newest] = "01-Jan-2020 16:04"
    server.modified[newest] = "Wed, 01 Jan 2020 16:04:00 GMT"
    worker = worker_of(source_of(server, Store(store.home)), store) if restarted else worker
    worker.look()
    assert server.paths() == ["/radolan/ry/", newest]
    assert [scan.sha256 for scan in store.scans()[:-1]] == [scan.sha256 for scan in before[:-1]]
    scan = store.scans()[-1]
    assert scan.sha256 != before[-1].sha256
    assert scan.issued_at == datetime(2020, 1, 1, 16, 4, tzinfo=UTC)
    assert store.ingest_status().counts["replaced"] == 1


@pytest.mark.parametrize(
    ("retry_after", "wait_s"), [("120", 120), ("Wed, 01 Jan 2020 16:08:00 GMT", 300), ("86400", 3600)]
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_sets_the_next_poll(server, store, shared_data, retry_after, wait_s, status):
    offer(server, shared_data)
    server.status["/radolan/ry/"], server.extra = status, {"Retry-After": retry_after}
    source = source_of(server, store)
    with pytest.raises(UnavailableError, match=f"{status} .* again in"):
        list(source.look())
    assert source.wait_s == wait_s
    server.status, server.extra = {}, {}
    worker_of(source, store).look()
    assert source.wait_s == 30


def test_a_failed_file_does_not_affect_the_others(server, store, shared_data, caplog):
    offer(server, shared_data)
    server.status[newest_of(server)] = 500
    source = source_of(server, store)
    with pytest.raises(UnavailableError, match="500"):
        worker_of(source, store).look()
    assert len(store.scans()) == 12
    assert source.wait_s == 60
    server.status = {}
    worker_of(source, store).look()
    assert len(store.scans()) == 13


def test_after_two_failed_files_a_look_ends(server, store, shared_data):
    offer(server, shared_data)
    server.status = dict.fromkeys(server.files, 502)
    with pytest.raises(UnavailableError, match="502"):
        list(source_of(server, store).look())
    assert len(server.paths()) == 3


def test_a_file_listed_before_it_exists_is_fetched_later(server, store, shared_data):
    offer(server, shared_data)
    server.status[newest_of(server)] = 404
    worker = worker_of(source_of(server, store), store)
    worker.look()
    assert len(store.scans()) == 12
    server.status = {}
    worker.look()
    assert len(store.scans()) == 13


@pytest.mark.parametrize("where", ["listing", "file"])
@pytest.mark.parametrize("how", ["broken", "silent", "dripping"])
def test_broken_and_slow_connections_end(server, store, shared_data, where, how):
    """A connection that closes early, one that sends nothing, and one that sends a byte at a time for ever."""
    offer(server, shared_data)
    server.trouble["/radolan/ry/" if where == "listing" else newest_of(server)] = how
    source = DwdSource(
        server.url,
        store.home / "inbox",
        known=store.has_file_named,
        clock=lambda: NOW,
        jitter=lambda: 0.5,
        timeout_s=0.2,
        deadline_s=0.3,
    )
    worker = worker_of(source, store)
    with pytest.raises(UnavailableError, match=r"RemoteProtocolError|ReadTimeout|TimeoutError"):
        worker.look()
    assert len(store.scans()) == (0 if where == "listing" else 12)
    assert not (store.home / "quarantine").exists()
    server.trouble = {}
    worker.look()
    assert len(store.scans()) == 13


def test_a_length_over_the_limit_is_refused_before_it_is_read(server, store, shared_data, monkeypatch):
    offer(server, shared_data, first=12)
    monkeypatch.setattr(polled, "MAX_FILE_BYTES", 1000)
    server.files["/radolan/ry/raa01-ry_10000-2001011555-dwd---bin.gz"] = bytes(10**6)
    worker = worker_of(source_of(server, store), store)
    worker.look()
    worker.look()
    assert store.scans() == []
    assert len(server.paths()) == 4, "each once, and the listings"


@pytest.mark.parametrize("off", [-25, 25], ids=["ours is slow", "ours is fast"])
def test_clocks_that_differ_go_by_the_servers(server, store, shared_data, off, caplog):
    """With a clock 25 minutes off, nothing is taken for the future's, and RY is not taken for late."""
    offer(server, shared_data)
    source = source_of(server, store, now=NOW + timedelta(minutes=off))
    worker_of(source, store).look()
    assert len(store.scans()) == 13
    assert "/composite/rv/" not in server.paths()
    assert source.now == NOW
    assert f"the server's clock is {-60 * off} s ahead of ours" in caplog.text


def test_a_server_clock_wrong_by_days_is_ignored(server, store, shared_data):
    offer(server, shared_data)
    server.now = NOW - timedelta(days=400)
    worker_of(source_of(server, store), store).look()
    assert len(store.scans()) == 13


def test_a_file_of_tomorrow_is_ignored(server, store, shared_data):
    offer(server, shared_data)
    server.files["/radolan/ry/raa01-ry_10000-2001021600-dwd---bin.gz"] = b"tomorrow's"
    worker_of(source_of(server, store), store).look()
    assert len(store.scans()) == 13


def test_an_outage_is_in_the_status_until_it_ends(server, store, shared_data):
    offer(server, shared_data)
    source = source_of(server, store)
    now = [NOW]
    worker = IngestWorker(source, store, list, threading.Event(), clock=lambda: now[0], name="dwd")
    source.ticks = lambda _stop: iter([None])  # type: ignore[method-assign, assignment]
    worker.run()
    server.status["/radolan/ry/"] = 500
    for late in (5, 10):
        now[0] = NOW + timedelta(minutes=late)
        worker.run()
    status = store.ingest_status().worker["sources"]["dwd"]
    assert (status["outage_since"], status["last_success_at"]) == ("2020-01-01T16:08:00Z", "2020-01-01T16:03:00Z")
    assert "500" in status["error"]
    restarted = IngestWorker(source, store, list, threading.Event(), clock=lambda: now[0], name="dwd")
    restarted.run()
    assert store.ingest_status().worker["sources"]["dwd"]["outage_since"] == "2020-01-01T16:08:00Z"
    server.status = {}
    restarted.run()
    assert store.ingest_status().worker["sources"]["dwd"]["outage_since"] is None


def test_hdf5_files_of_the_new_generation_come_in(server, store):
    name, content = small_file(2)
    server.files[f"/radolan/ry/{name}"] = content
    server.now = datetime(2024, 7, 1, 0, 12, tzinfo=UTC)
    worker_of(source_of(server, store, now=server.now), store).look()
    assert [scan.grid_key for scan in store.scans()] == [GRID.key]
