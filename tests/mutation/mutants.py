"""Mutants of the critical paths: one change each, and the test files that must notice it.

A mutant is one line of the code that is replaced by a plausible mistake. `before` occurs in its file exactly once (a
test checks that), so that a change of the code is followed here.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Mutant:
    """One change of one file, and what is to fail with it (test files or names of tests)."""

    file: str
    before: str
    after: str
    tests: tuple[str, ...]


_FILES = ("tests/core/test_files.py",)
_STORE = ("tests/ingest/store/test_store.py",)
_HEAL = ("tests/ingest/store/test_healing.py",)
_KEEP = ("tests/ingest/store/test_retention.py",)
_COPY = ("tests/ingest/store/test_repair.py",)
_INTAKE = ("tests/ingest/store/test_intake.py",)
_STATUS = ("tests/ingest/store/test_quality_and_status.py",)
_SCHEDULE = ("tests/service/forecasts/test_schedule.py", "tests/service/forecasts/test_replacement.py")
_AGAIN = ("tests/service/forecasts/test_healing.py",)
_SCORES = ("tests/service/forecasts/test_scoring.py", "tests/service/forecasts/test_rollup.py")
_SWEEP = ("tests/service/forecasts/test_retention.py",)
_QUEUE = ("tests/service/tasks/test_worker.py", "tests/service/tasks/test_beat.py")
_CLAIM = tuple(
    f"tests/service/tasks/test_beat.py::{name}"
    for name in (
        "test_a_claim_that_another_beat_has_renewed_meanwhile_stays",
        "test_a_claim_that_the_servers_clock_does_not_end_is_ended_by_a_steady_one",
    )
)
_BUDGET = ("tests/service/api/test_budget.py", "tests/service/api/test_admission.py")
_SHARED = ("tests/core/test_shared_files.py",)
_BACKUP = ("tests/service/copies/test_backup_file.py",)
_SENT = ("tests/service/alerts/test_delivery.py",)
_RULES = ("tests/service/alerts/test_rules_api.py",)

_files = "core/files.py"
_index = "ingest/store/index.py"
_live = "ingest/store/live.py"
_shelf = "ingest/store/shelf.py"
_healing = "ingest/store/healing.py"
_keep = "ingest/store/retention.py"
_backup = "ingest/store/backup.py"
_locks = "ingest/store/locks.py"
_schedule = "service/forecasts/schedule.py"
_replaced = "service/forecasts/replacement.py"
_maker = "service/forecasts/maker.py"
_again = "service/forecasts/healing.py"
_scoring = "service/forecasts/scoring.py"
_book = "service/forecasts/scorebook.py"
_sweep = "service/forecasts/retention.py"
_beat = "service/tasks/beat.py"
_queue = "service/tasks/queue.py"
_connections = "service/process/connections.py"
_shared = "core/shared_files.py"
_filestore = "core/filestore.py"
_saved = "service/copies/backup_file.py"
_outbox = "service/alerts/outbox.py"
_http = "service/alerts/channels/http.py"

MUTANTS: Final = (
    # files: synced, whole, checked
    Mutant(_files, "os.fsync(written.fileno())", "pass", _FILES),
    Mutant(_files, "        os.fsync(folder)\n", "        pass\n", _FILES),
    Mutant(_files, "temporary.replace(path)", "path.write_bytes(temporary.read_bytes())", _FILES),
    Mutant(_files, "        temporary.unlink(missing_ok=True)\n        raise", "        raise", _FILES),
    Mutant(_files, "temporary.chmod(mode)", "pass", _FILES),
    Mutant(_files, "        if checksum:\n", "        if not checksum:\n", _FILES),
    Mutant(_files, "and digest == _digest(content[: -CHECKSUM.size])", "and digest is not None", _FILES),
    Mutant(_files, "status.st_mtime_ns, status.st_ctime_ns)", "0, 0)", _FILES),
    Mutant(_files, "    if fits is False:", "    if fits is None:", _FILES),
    # what the store takes and keeps
    Mutant(_index, "MAX_AHEAD: Final = timedelta(minutes=5)", "MAX_AHEAD: Final = timedelta(days=3650)", _HEAL),
    Mutant(_index, "(horizon if end is None else min(end, horizon))", "(horizon if end is None else end)", _HEAL),
    Mutant(_index, ".where(ScanRow.valid_time <= self._horizon()).limit(1)", ".limit(1)", _HEAL),
    Mutant(_shelf, "    if new.grid_key != old.grid_key:", "    if new.grid_key == old.grid_key + '-':", _STORE),
    Mutant(_shelf, "return more_missing > 0", "return more_missing < 0", _STORE),
    Mutant(_shelf, "return new.coverage < old.coverage", "return new.coverage > old.coverage", _STORE),
    Mutant(_shelf, "return new.issued_at < old.issued_at", "return new.issued_at > old.issued_at", _STORE),
    Mutant(_shelf, "COVERAGE_MARGIN: Final = 0.02", "COVERAGE_MARGIN: Final = 0.9", _STORE),
    Mutant(_shelf, "    if known.sha256 == header.sha256:", "    if known.sha256 != header.sha256:", _STORE),
    Mutant(_shelf, "known = known if is_stored(path) and not", "known = known if not", _STORE),
    Mutant(
        _shelf,
        "return self._index.usual_grid(header.product, header.valid_time) == header.grid_key",
        "return False",
        _STORE,
    ),
    Mutant(_live, 'counts={**counts, "files": 1})', "counts=counts)", _STATUS),
    Mutant(
        _live,
        "with write_lock(self.home):\n            counts, rows = self._shelf.write([",
        "if True:\n            counts, rows = self._shelf.write([",
        _STORE,
    ),
    Mutant(
        _live,
        "found if (found.nominal_times, found.sources) == (nominal, ready.sources_of(chosen)) else None",
        "found",
        _STORE,
    ),
    Mutant(_locks, "fcntl.flock(handle, fcntl.LOCK_EX)", "pass", _STORE),
    Mutant(_locks, "FULL: Final = (errno.ENOSPC, errno.EDQUOT)", "FULL: Final = (errno.EDQUOT,)", _KEEP),
    # repair
    Mutant(_healing, "is_again = last is None or now - last >= AGAIN_AFTER", "is_again = True", _HEAL),
    Mutant(_healing, "            self._index.lose(scan, now - DAY)\n", "", _HEAL),
    Mutant(_healing, "            scan.path.unlink(missing_ok=True)\n", "", _HEAL),
    Mutant(_healing, "                path.unlink(missing_ok=True)\n", "                pass\n", _HEAL),
    Mutant(_backup, "COPIES: Final = 3", "COPIES: Final = 300", _COPY),
    Mutant(_backup, '            if found != "ok":', '            if found == "":', _COPY),
    Mutant(_backup, "timedelta() <= age < COPY_AFTER", "age < COPY_AFTER", _COPY),
    Mutant(_backup, "mode=database.stat().st_mode & 0o777", "mode=0o644", _COPY),
    Mutant("ingest/store/attempts.py", "MOST: Final = 10", "MOST: Final = 2000", _INTAKE),
    Mutant("ingest/store/attempts.py", "exit=True", "exit=False", _INTAKE),
    Mutant("ingest/store/attempts.py", "_write(note, before + 1)", "_write(note, before)", _INTAKE),
    # retention
    Mutant(_keep, "NEEDED: Final = timedelta(hours=6)", "NEEDED: Final = timedelta(0)", _KEEP),
    Mutant(_keep, "PART_AGE: Final = timedelta(hours=1)", "PART_AGE: Final = timedelta(0)", _KEEP),
    Mutant(_keep, "data_now, deleted = min(newest or now, now), {}", "data_now, deleted = now, {}", _KEEP),
    Mutant(
        _keep,
        "        forget()\n        delete_files(files, home)\n    except",
        "        delete_files(files, home)\n        forget()\n    except",
        _KEEP,
    ),
    Mutant(_keep, "item.at >= self.keep_from and excess_bytes <= 0", "item.at >= self.keep_from", _KEEP),
    Mutant(_sweep, "IN_USE: Final = timedelta(minutes=10)", "IN_USE: Final = timedelta(0)", _SWEEP),
    Mutant(_sweep, "for path in (*folder.glob(DAY),", "for path in (*folder.glob('*/*/*/*'),", _AGAIN),
    Mutant(_sweep, 'if entry.origin == "scans" and entry.inputs_sha256 in open_windows', "if False", _SWEEP),
    Mutant(
        _sweep,
        "return [file for one in windows for file in one.files if file.path not in used]",
        "return [file for one in windows for file in one.files]",
        _SWEEP,
    ),
    # schedule: what needs a forecast, once
    Mutant(
        _schedule,
        "for time in times if not made[time] or time in again]",
        "for time in times[:1] if not made[time]]",
        _SCHEDULE,
    ),
    Mutant(_schedule, "        if age_s <= most_s:", "        if age_s >= most_s:", _SCHEDULE),
    Mutant(_schedule, "            oldest = newest.valid_time\n", "            pass\n", _SCHEDULE),
    Mutant(_schedule, "for scan in reversed(scans)]", "for scan in scans]", _SCHEDULE),
    Mutant(_replaced, "0 < len(made) <= MOST_REPLACED]", "0 < len(made) <= 999]", _SCHEDULE),
    Mutant(_replaced, "max(made, key=", "min(made, key=", _SCHEDULE),
    Mutant(
        _maker,
        "            if known is not None and not self._catalogue.is_replaced(known):\n                return known\n",
        "",
        ("tests/service/forecasts/test_nowcast.py",),
    ),
    Mutant(_maker, "write_atomically(draft.path, write, checksum=True)", "write_atomically(draft.path, write)", _AGAIN),
    # repair and verification of forecasts
    Mutant(_again, "            self._lose(path.stem)\n", "", _AGAIN),
    Mutant(_again, "            if not _is_damaged(path):\n                return False\n", "", _AGAIN),
    Mutant(
        _again,
        "            withdraw([note])\n            note.unlink(missing_ok=True)\n        return made",
        "        return made",
        _AGAIN,
    ),
    Mutant(_again, '{**found, "attempts": attempts + 1}', "found", _AGAIN),
    Mutant(
        _again,
        '            log.warning("%s is not scored',
        '            raise\n            log.warning("%s is not scored',
        _AGAIN,
    ),
    Mutant(_scoring, "            if inputs_sha256 in skip:\n                continue\n", "", _SCORES),
    Mutant(_scoring, "if any(one.lead_minutes[i] not in done for done in scored)", "if True", _SCORES),
    Mutant(
        _book,
        "statement = make(row).values(some).on_conflict_do_nothing()",
        "statement = make(row).values(some)",
        _SCORES,
    ),
    Mutant(_book, "return leads < ForecastRow.leads", "return leads <= ForecastRow.leads", _SCORES),
    # claims and the queue
    Mutant(_beat, "client.set(key, own, nx=True, px=held_ms)", "client.set(key, own, px=held_ms)", _CLAIM),
    Mutant(_beat, "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end", "", _CLAIM),
    Mutant(_beat, "kept.nowfun = steady_now", "pass", _QUEUE),
    Mutant(_queue, '"task_acks_late": True', '"task_acks_late": False', _QUEUE),
    Mutant(_queue, "settings.task_limit_s + REDELIVERY_AFTER_LIMIT_S", "settings.task_limit_s - 1", _QUEUE),
    Mutant(_queue, 'RUN_JOB: {"queue": JOBS}', 'RUN_JOB: {"queue": FORECASTS}', _QUEUE),
    Mutant(_queue, "1, nx=True, ex=within_s)", "1, ex=within_s)", _QUEUE),
    Mutant(_queue, '"expires": interval_s', '"expires": None', _QUEUE),
    # limits of requests
    Mutant("service/api/lanes.py", "tasks_waiting >= self._waiting:", "tasks_waiting >= 10**9:", _BUDGET),
    Mutant(
        "service/api/lanes.py", "async with turn(self._limiter, self._name, self._wait_s, late):", "if True:", _BUDGET
    ),
    Mutant(
        "service/api/bodies.py", "        if self._left_bytes < 0:", "        if self._left_bytes < -(10**12):", _BUDGET
    ),
    Mutant("service/api/bodies.py", "int(announced) > self._most_bytes", "int(announced) > 10**12", _BUDGET),
    Mutant("service/api/admission.py", "if self._taken >= self._places:", "if self._taken > self._places:", _BUDGET),
    Mutant("service/api/admission.py", "if self._receiving[caller] >= most:", "if False:", _BUDGET),
    Mutant("service/api/uploads.py", "with fail_after(STALLED_S):", "with fail_after(600):", _BUDGET),
    Mutant(_connections, "found[self._address] -= 1", "found[self._address] -= 0", _BUDGET),
    Mutant(_connections, "if is_idle and cycle is self._seen_cycle:", "if False:", _BUDGET),
    Mutant(_connections, "self._chunks > SMALL_CHUNKS and", "False and", _BUDGET),
    Mutant(_connections, "        return False\n", "        return bool(super()._should_upgrade())\n", _BUDGET),
    Mutant("service/api/events.py", "return refusal_of(request, listeners, name) or", "return", _BUDGET),
    Mutant(
        "service/api/rules.py", "if any(waits_for_receiver(target) for target in rule.targets):", "if False:", _RULES
    ),
    # a store of files for several machines
    Mutant(_shared, "        if content is None:\n            check_file(path)\n", "", _SHARED),
    Mutant(_shared, "            if again:\n                return False\n", "", _SHARED),
    Mutant(_shared, "self.store.put(self._name(path), raw)", "pass", _SHARED),
    Mutant(_shared, "if self._missing.get(path, -MISSING_S) > self._steady() - MISSING_S:", "if False:", _SHARED),
    Mutant(_filestore, "with _translated(missing_is_failure=True):", "with _translated():", _SHARED),
    Mutant(_filestore, "if failed_s is not None and monotonic() - failed_s < FAILED_S:", "if False:", _SHARED),
    # backup and restore
    Mutant(_saved, 'if _digest_of(member) != known["sha256"]:', "if False:", _BACKUP),
    Mutant(_saved, "mode=FOR_OWNER_ALONE", "mode=0o644", _BACKUP),
    Mutant(_saved, "if revision != known:", "if False:", _BACKUP),
    Mutant(_saved, "    if is_held or working:", "    if working:", _BACKUP),
    Mutant("service/copies/rows.py", "            connection.execute(delete(table))\n", "            pass\n", _BACKUP),
    # messages of alerts: claimed once, in order, to no network of one's own
    Mutant(_outbox, '"next_at": now + LEASE}', '"next_at": now}', _SENT),
    Mutant(_outbox, "        .where(_is_ready(now))\n        .order_by(", "        .order_by(", _SENT),
    Mutant(_outbox, "        .where(~exists().where(same, earlier.state.in_(OPEN)))\n", "", _SENT),
    Mutant(_http, "            if not is_public(address, self._allowed):", "            if False:", _SENT),
    Mutant(_http, "if not self._encrypted and not all(", "if not all(", _SENT),
    Mutant(_http, "answers.get(timeout=max(0.0, limit_s))", "answers.get(timeout=60)", _SENT),
)
