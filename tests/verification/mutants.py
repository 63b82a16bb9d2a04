"""Wrong versions of the verification: masks, inflow, lead order, thresholds, sums, draws; each must fail a test.

`python -B -m tests.verification.mutants`, in a copy of the project, applies one after the other there and prints which
test fails. Each runs in a process of its own, forked after the libraries are imported, which takes most of the time.
"""

import contextlib
import importlib
import io
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

LIBRARIES = (
    *("numpy", "xarray", "hypothesis.extra.numpy", "scores.categorical", "scores.probability", "scores.spatial"),
    *("scores.plotdata", "pysteps.verification", "pysteps.utils", "scipy.ndimage", "nowcast_bench", "cv2"),
)
COUNTS, BOOTSTRAP, NEARBY, MEMBERS, AMOUNTS, ORACLES, CONTRACT = (
    *(f"tests/verification/test_{name}.py" for name in ("counts", "bootstrap", "nearby", "member_scores", "amounts")),
    "tests/verification/test_oracles.py",
    "tests/contracts/test_scores.py",
)
FORECASTERS = "tests/models/test_forecasters.py"

BY_HAND = "tests/training/test_event_skill.py::test_masks_by_hand"
EVENT_LEADS, EVENT_WINDOWS = "tests/training/test_event_leads.py", "tests/training/test_event_windows.py"


@dataclass(frozen=True)
class Mutant:
    """One change of the source.

    Attributes:
        name: what is wrong with it, as in the list of the document.
        file: that is changed.
        before: text that is replaced where it is first found.
        after: what replaces it.
        tests: file, one test of which must fail.
    """

    name: str
    file: str
    before: str
    after: str
    tests: str


VERIFY, CELLS, SUMS = "verification/verify.py", "verification/counts.py", "verification/sums.py"
SCORE, ENGINE = "verification/scores", "training/evaluation/skill_sums.py"
MUTANTS = [
    # masks
    Mutant(
        "the mask `known` is inverted", VERIFY, "every_HW & known_THW[index]", "every_HW & ~known_THW[index]", COUNTS
    ),
    Mutant("the mask `known` is ignored", VERIFY, "every_HW & known_THW[index]", "every_HW", COUNTS),
    Mutant("the mask `known` is that of another lead", VERIFY, "known_THW[index]}", "known_THW[-1 - index]}", COUNTS),
    Mutant(
        "what was not observed counts",
        VERIFY,
        "every_HW = np.isfinite(observed_HW)",
        "every_HW = np.ones_like(observed_HW, bool)",
        COUNTS,
    ),
    Mutant("the newest scan's coverage is ignored", VERIFY, "every_HW &= covered_HW", "pass", COUNTS),
    Mutant("a baseline's missing value is left out", VERIFY, "nan=0.0)", "nan=np.nan)", COUNTS),
    Mutant("every model's missing value is dry", VERIFY, "and model in filled:", "and model:", COUNTS),
    Mutant(
        "a missing value of one model counts for the others",
        VERIFY,
        "every_HW &= np.isfinite(rates[model])",
        "pass",
        COUNTS,
    ),
    Mutant("the counts ignore their mask", CELLS, "pair_N[counted_N]", "pair_N", COUNTS),
    Mutant(
        "the counts of chunks include missing cells",
        CELLS,
        "both = np.isfinite(forecast_mmh) & np.isfinite(observed_mmh)",
        "both = np.isfinite(observed_mmh)",
        COUNTS,
    ),
    Mutant(
        "FSS takes the mask `all` for `known`",
        f"{SCORE}/fss.py",
        "seen_HW = lead.masks[mask]",
        'seen_HW = lead.masks["all"]',
        COUNTS,
    ),
    Mutant(
        "a fraction is relative to the whole square",
        f"{SCORE}/fss.py",
        "(window_sums(event, self.window_cells)[seen_NHW] / cells_N",
        "(window_sums(event, self.window_cells)[seen_NHW] / self.window_cells**2",
        ORACLES,
    ),
    Mutant(
        "an event nearby is searched outside of the mask",
        f"{SCORE}/near.py",
        "event = seen & (rate_mmh",
        "event = (rate_mmh",
        NEARBY,
    ),
    # inflow
    Mutant(
        "inflow counts as known",
        "models/baselines.py",
        "moved_LHW.imag >= 0.5",
        "moved_LHW.imag >= 0.0",
        f"{FORECASTERS}::test_a_hole_in_the_newest_field_is_carried_along",
    ),
    Mutant(
        "an amount is known where a part of it is",
        "verification/amounts.py",
        "known_THW[leads].all(axis=0)",
        "known_THW[leads].any(axis=0)",
        AMOUNTS,
    ),
    Mutant(
        "a missing rate erases a baseline's hour",
        "verification/amounts.py",
        "if dry_HW is not None:",
        "if False:",
        AMOUNTS,
    ),
    # leads
    Mutant(
        "the leads of the observation are reversed",
        VERIFY,
        "zip(lead_minutes, observed_mmh_THW, strict",
        "zip(lead_minutes, observed_mmh_THW[::-1], strict",
        COUNTS,
    ),
    Mutant(
        "the leads of the forecast are reversed",
        VERIFY,
        "rates[model] = rate_mmh_THW[index]",
        "rates[model] = rate_mmh_THW[-1 - index]",
        COUNTS,
    ),
    Mutant(
        "the leads of the probabilities are reversed",
        VERIFY,
        "{model: fields[index]",
        "{model: fields[-1 - index]",
        COUNTS,
    ),
    Mutant(
        "the leads of the members are reversed", VERIFY, "member_MTHW[:, index]", "member_MTHW[:, -1 - index]", COUNTS
    ),
    Mutant(
        "an hour ends one field early",
        "verification/amounts.py",
        "slice(end - steps, end)",
        "slice(end - steps, end - 1)",
        AMOUNTS,
    ),
    Mutant("an hour's amount is a mean rate of two", "verification/amounts.py", "(minutes / 60)", "1.0", AMOUNTS),
    # thresholds
    Mutant(
        "an event is above the threshold, in chunks",
        CELLS,
        "forecast_mmh >= threshold_mmh",
        "forecast_mmh > threshold_mmh",
        COUNTS,
    ),
    Mutant("an event is above the threshold, in one pass", CELLS, "rate_N >= threshold", "rate_N > threshold", COUNTS),
    Mutant(
        "an event is above the threshold, in FSS",
        f"{SCORE}/fss.py",
        "rate_mmh >= threshold_mmh",
        "rate_mmh > threshold_mmh",
        CONTRACT,
    ),
    Mutant(
        "an event is above the threshold, nearby",
        f"{SCORE}/near.py",
        "rate_mmh >= score.threshold_mmh",
        "rate_mmh > score.threshold_mmh",
        CONTRACT,
    ),
    Mutant(
        "an event is above the threshold, of probabilities",
        f"{SCORE}/probability.py",
        "observed_mmh[both] >= threshold_mmh",
        "observed_mmh[both] > threshold_mmh",
        CONTRACT,
    ),
    # sums
    Mutant(
        "misses and false alarms are exchanged",
        CELLS,
        "(hits, misses, false_alarms, negatives)",
        "(hits, false_alarms, misses, negatives)",
        COUNTS,
    ),
    Mutant(
        "sums of two chunks are those of the second",
        SUMS,
        "mine + others for mine, others in pairs",
        "others for mine, others in pairs",
        COUNTS,
    ),
    Mutant(
        "sums of bins are added as lists",
        SUMS,
        "tuple(map(add, mine, others))",
        "tuple(map(max, mine, others))",
        CONTRACT,
    ),
    Mutant(
        "the mean over leads leaves out undefined leads",
        "verification/means.py",
        "float(np.mean(values))",
        "float(np.nanmean(values))",
        BOOTSTRAP,
    ),
    Mutant(
        "pooled sums of one lead replace those of another",
        "verification/means.py",
        "found[row.lead_minutes] + row.sums if",
        "row.sums if",
        BOOTSTRAP,
    ),
    # intervals
    Mutant(
        "an interval of two spells",
        "verification/bootstrap.py",
        "LEAST_SPELLS: Final = 3",
        "LEAST_SPELLS: Final = 1",
        BOOTSTRAP,
    ),
    Mutant("a pair has different draws", "verification/bootstrap.py", "default_rng(0)", "default_rng()", BOOTSTRAP),
    Mutant(
        "spells are drawn without replacement",
        "verification/bootstrap.py",
        "drawn_RS.astype(np.float64)",
        "np.ones_like(drawn_RS, np.float64)",
        BOOTSTRAP,
    ),
    Mutant(
        "an interval of 80 %",
        "verification/bootstrap.py",
        "outside = (1 - LEVEL) / 2",
        "outside = 1 - LEVEL",
        BOOTSTRAP,
    ),
    Mutant("smaller is better is worse", "verification/bootstrap.py", "== (best > 0.0)", "", BOOTSTRAP),
    Mutant(
        "an interval that holds 0 differs",
        "verification/bootstrap.py",
        "self.low > 0.0 or self.high < 0.0",
        "self.low > 0.0 or self.high > 0.0",
        BOOTSTRAP,
    ),
    # members and probabilities
    Mutant(
        "the fair CRPS is the other one",
        f"{SCORE}/crps_members.py",
        "totals.error_nano - totals.fair_pairs_nano",
        "totals.error_nano - totals.pairs_nano",
        MEMBERS,
    ),
    Mutant(
        "ties count at the lowest rank",
        f"{SCORE}/rank_histogram.py",
        "range(below, below + equal + 1)",
        "[below] * (equal + 1)",
        MEMBERS,
    ),
    Mutant(
        "cells that are dry everywhere have a rank",
        f"{SCORE}/rank_histogram.py",
        ".any(axis=0)\n",
        ".any(axis=0) | True\n",
        MEMBERS,
    ),
    Mutant(
        "the variance of members is divided by their number", f"{SCORE}/spread_skill.py", "ddof=1", "ddof=0", MEMBERS
    ),
    Mutant(
        "a warning is given below the probability", f"{SCORE}/roc_area.py", 'side="right") - 1', 'side="left")', ORACLES
    ),
    Mutant(
        "the Brier score takes the probability of no event",
        f"{SCORE}/brier.py",
        "probability_N - event_N",
        "1 - probability_N - event_N",
        ORACLES,
    ),
    # texture
    Mutant(
        "a cell that one side lacks is dry on that side only",
        f"{SCORE}/power_spectrum.py",
        "seen_HW = np.isfinite(forecast_HW) & np.isfinite(observed_HW)",
        "seen_HW = np.isfinite(forecast_HW)",
        CONTRACT,
    ),
    Mutant(
        "the spectrum counts half of the plane",
        f"{SCORE}/power_spectrum.py",
        "(width + 1) // 2] *= 2.0",
        "(width + 1) // 2] *= 1.0",
        NEARBY,
    ),
    # evaluation of events
    Mutant("an evaluation's mask `known` is inverted", ENGINE, "known_LHW[place", "~known_LHW[place", BY_HAND),
    Mutant("an evaluation takes the mask of no model", ENGINE, "None if known_LHW is None", "None if True", BY_HAND),
    Mutant("an evaluation leaves out a baseline's missing value", ENGINE, "if name in FILLED],", "if False],", BY_HAND),
    Mutant("an evaluation ignores the coverage", ENGINE, "np.isfinite(window.past_THW[-1]),", "None,", BY_HAND),
    Mutant(
        "an evaluation takes the coverage of the first scan",
        ENGINE,
        "window.past_THW[-1]),",
        "window.past_THW[0]),",
        EVENT_LEADS,
    ),
    Mutant(
        "an evaluation reverses the observation",
        ENGINE,
        "window.future_LHW[index]",
        "window.future_LHW[-1 - index]",
        EVENT_LEADS,
    ),
    Mutant(
        "an evaluation reverses the forecast",
        ENGINE,
        "one.rate_mmh_LHW[place[name]]",
        "one.rate_mmh_LHW[-1 - place[name]]",
        EVENT_LEADS,
    ),
    Mutant(
        "an evaluation takes a forecast's lead by its place in the window",
        ENGINE,
        "one.rate_mmh_LHW[place[name]]",
        "one.rate_mmh_LHW[index % len(one.rate_mmh_LHW)]",
        EVENT_LEADS,
    ),
    Mutant(
        "an evaluation reverses the probabilities",
        ENGINE,
        "one.probability_KLHW[:, place[name]]",
        "one.probability_KLHW[:, -1 - place[name]]",
        EVENT_LEADS,
    ),
    Mutant(
        "an evaluation reverses the members",
        ENGINE,
        "one.members_MLHW[:, place[name]]",
        "one.members_MLHW[:, -1 - place[name]]",
        EVENT_LEADS,
    ),
    Mutant(
        "a window has its leads reversed",
        "training/evaluation/event_windows.py",
        "reference + lead for lead in plan.leads]",
        "reference + lead for lead in plan.leads[::-1]]",
        EVENT_WINDOWS,
    ),
    Mutant(
        "a window's input ends one scan early",
        "training/evaluation/event_windows.py",
        "reference + offset for offset",
        "reference + offset - 5 for offset",
        EVENT_WINDOWS,
    ),
]


def outcome(tests: Sequence[str]) -> tuple[int, str]:
    """The exit status of pytest in a forked process, and what it prints."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        status, text = 3, io.StringIO()
        try:
            with contextlib.redirect_stdout(text):
                status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
        finally:
            with os.fdopen(writing, "w") as pipe:
                pipe.write(text.getvalue())
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        printed = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), printed


def first_failure(mutant: Mutant) -> str:
    """The first test that fails with a mutant; what pytest printed, in brackets, where none does."""
    path = Path(mutant.file)
    text = path.read_text("utf-8")
    path.write_text(text.replace(mutant.before, mutant.after, 1), "utf-8")
    status, printed = outcome([mutant.tests])
    path.write_text(text, "utf-8")
    failed = re.search(r"^FAILED \S+::(\w+)", printed, re.MULTILINE)
    return failed[1] if status == 1 and failed else f"({status}: {printed[-2000:]})"


def main() -> None:
    """Print one line of JSON for the source as it is, and one for each mutant."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # other packages' plugins take longer than the tests
    for library in LIBRARIES:
        importlib.import_module(library)
    status, printed = outcome(sorted({mutant.tests for mutant in MUTANTS}))
    print(json.dumps(["", "" if status == 0 else f"{status}: {printed[-2000:]}"]), flush=True)
    for mutant in MUTANTS:
        print(json.dumps([mutant.name, first_failure(mutant)]), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main()
