"""Wrong versions of the verification, each of which fails a test: masks, inflow, lead order, thresholds, sums, draws.

`docs/verification.md` lists them. A mutant is one change of the source; it is applied to a copy of the project.
"""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COUNTS, BOOTSTRAP, NEARBY, MEMBERS, AMOUNTS, ORACLES, CONTRACT = (
    *(f"tests/verification/test_{name}.py" for name in ("counts", "bootstrap", "nearby", "member_scores", "amounts")),
    "tests/verification/test_oracles.py",
    "tests/contracts/test_scores.py",
)
FORECASTERS = "tests/models/test_forecasters.py"


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
SCORE = "verification/scores"
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
]


def copy_of_the_sources(folder: Path) -> Path:
    """Every module, test and configuration, without data."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.toml", "*.yaml", "*.txt"]
    for line in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        if (ROOT / line).is_file():
            (folder / line).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / line, folder / line)
    return folder


def run(folder: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return copy_of_the_sources(tmp_path_factory.mktemp("copy"))


def killed(mutant: Mutant, folder: Path) -> str:
    """The first test that fails."""
    path = folder / mutant.file
    text = path.read_text("utf-8")
    try:
        path.write_text(text.replace(mutant.before, mutant.after, 1), "utf-8")
        done = run(folder, mutant.tests)
    finally:
        path.write_text(text, "utf-8")
    assert done.returncode == 1, f"{mutant.name}: no test fails\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    failed = re.search(r"^FAILED \S+::(\w+)", done.stdout, re.MULTILINE)
    assert failed, done.stdout[-2000:]
    return failed[1]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_the_source(mutant):
    text = (ROOT / mutant.file).read_text("utf-8")
    assert mutant.before in text
    compile(text.replace(mutant.before, mutant.after, 1), mutant.file, "exec")
    assert (ROOT / mutant.tests.partition("::")[0]).is_file()


def test_a_mutant_of_the_mask_fails_a_test(sources):
    assert killed(MUTANTS[0], sources)


@pytest.mark.long
def test_without_a_mutant_every_test_passes(sources):
    done = run(sources, *sorted({mutant.tests for mutant in MUTANTS}))
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fails_a_test(mutant, sources):
    print(f"{mutant.name}: {killed(mutant, sources)}")
