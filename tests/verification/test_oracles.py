"""Every score on random fields with missing cells is that of independent libraries: `scores`, pysteps, `nowcast-bench`.

Each oracle gets the raw fields and selects the cells by its own rule for missing values, unless a comment says why not.
"""

from dataclasses import dataclass
from functools import reduce
from operator import add

import nowcast_bench as bench
import numpy as np
import pytest
from pysteps.utils.spectral import rapsd
from pysteps.verification.detcatscores import det_cat_fct_accum, det_cat_fct_compute, det_cat_fct_init
from pysteps.verification.detcontscores import det_cont_fct
from pysteps.verification.ensscores import ensemble_spread, rankhist_accum, rankhist_init
from pysteps.verification.probscores import (
    CRPS_accum,
    CRPS_compute,
    CRPS_init,
    ROC_curve_accum,
    ROC_curve_compute,
    ROC_curve_init,
    reldiag_accum,
    reldiag_init,
)
from pysteps.verification.spatialscores import fss as fss_of_pysteps
from scores.categorical import ThresholdEventOperator
from scores.continuous import mae
from scores.plotdata import rank_histogram, roc
from scores.probability import brier_score, brier_score_for_ensemble, crps_cdf, crps_for_ensemble
from scores.spatial import fss_2d_single_field
from xarray import DataArray

from verification.counts import contingency
from verification.scores import SCORES
from verification.scores.brier import Brier
from verification.scores.crps import CRPS, HIGHEST_MMH
from verification.scores.fss import FSS
from verification.scores.power_spectrum import PowerSpectrum
from verification.scores.rank_histogram import MOST_MEMBERS, RankHistogram
from verification.scores.reliability import Reliability
from verification.scores.roc_area import EDGES, RocArea
from verification.scores.spread_skill import SpreadSkill

pytestmark = pytest.mark.filterwarnings(
    "ignore:numba is not available",
    "ignore:invalid value encountered",
    "ignore:divide by zero",
    "ignore:Encountered a NaN",
)
NAN = np.nan
MMH = 1.0  # the default of every score with a threshold
COUNTS_WITHIN = 1e-12
SCORES_WITHIN = 1e-6
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Case:
    """Rain on both sides with cells that either lacks, probabilities and members of it."""

    forecast: np.ndarray
    observed: np.ndarray
    probability: np.ndarray
    members: np.ndarray


@pytest.fixture(params=SEEDS)
def case(request):
    random = np.random.default_rng(request.param)
    near = np.repeat(np.repeat(random.gamma(0.3, 2.0, (9, 8)), 4, axis=0), 4, axis=1)
    forecast, observed = near * random.gamma(2.0, 0.5, (2, *near.shape))
    members = near * random.gamma(2.0, 0.5, (7, *near.shape))
    members[members < 0.1], observed[observed < 0.1] = 0.0, 0.0
    probability = np.round(1 - np.exp(-near * random.random(near.shape)), 3)
    for field, share in ((forecast, 0.1), (observed, 0.15), (probability, 0.1), (members[3], 0.05)):
        field[random.random(near.shape) < share] = NAN
        field[-3:, :5] = NAN
    return Case(forecast, observed, probability, members)


def value(score, forecast, observed):
    """The value from the sums of two parts, so that adding is a part of what is checked."""
    axis = -2
    parts = [
        score.totals(*pair)
        for pair in zip(np.array_split(forecast, 2, axis), np.array_split(observed, 2, axis), strict=True)
    ]
    return score.value(reduce(add, parts))


def labelled(field):
    return DataArray(field, dims=("member", "y", "x")[-field.ndim :])


# --- the four counts and their ratios ---


def counts_of_scores(forecast, observed):
    event = ThresholdEventOperator(default_event_threshold=MMH)
    counts = event.make_contingency_manager(labelled(forecast), labelled(observed)).transform().get_counts()
    return [float(counts[name]) for name in ("tp_count", "fn_count", "fp_count", "tn_count")]


def table_of_pysteps(forecast, observed):
    table = det_cat_fct_init(np.nextafter(MMH, 0))  # its event is above the threshold, ours at or above it
    seen = np.isfinite(forecast) & np.isfinite(observed)  # it counts what is missing as a correct negative
    det_cat_fct_accum(table, forecast[seen], observed[seen])
    return table


def counts_of_pysteps(forecast, observed):
    table = table_of_pysteps(forecast, observed)
    return [float(table[name]) for name in ("hits", "misses", "false_alarms", "correct_negatives")]


def counts_of_bench(forecast, observed):
    table = bench.contingency_table(observed, forecast, MMH)
    return [table.hits, table.misses, table.false_alarms, table.correct_negatives]


@pytest.mark.parametrize("oracle", [counts_of_scores, counts_of_pysteps, counts_of_bench])
def test_counts(case, oracle):
    forecast, observed = np.round(case.forecast, 1), np.round(case.observed, 1)  # many are at the threshold itself
    assert (forecast == MMH).any()
    assert (observed == MMH).any()
    ours = contingency(forecast, observed, MMH)
    assert ours.flat() == pytest.approx(oracle(forecast, observed), rel=COUNTS_WITHIN, abs=0)
    assert min(ours.flat()) > 0


def ratio_of_pysteps(name, forecast, observed):
    return float(det_cat_fct_compute(table_of_pysteps(forecast, observed), name)[name.upper()])


def ratio_of_bench(name, forecast, observed):
    return getattr(bench, name)(observed, forecast, MMH).value


RATIOS = [
    *((ratio_of_pysteps, name) for name in ("csi", "hss", "pod", "far", "bias", "ets")),
    *((ratio_of_bench, name) for name in ("csi", "pod", "far", "bias", "ets")),
]


@pytest.mark.parametrize(("oracle", "name"), RATIOS)
def test_ratios_of_counts(case, oracle, name):
    ours = value(SCORES.get(name)(), case.forecast, case.observed)
    assert ours == pytest.approx(oracle(name, case.forecast, case.observed), rel=SCORES_WITHIN)


# --- rates ---


@pytest.mark.parametrize(
    "oracle",
    [
        lambda f, o: float(mae(labelled(f), labelled(o))),
        lambda f, o: float(det_cont_fct(f, o, "MAE")["MAE"]),
    ],
    ids=["scores", "pysteps"],
)
def test_absolute_error(case, oracle):
    ours = value(SCORES.get("rate-mae")(), case.forecast, case.observed)
    assert ours == pytest.approx(oracle(case.forecast, case.observed), rel=SCORES_WITHIN)


def with_dry_rim(field, cells=6):
    """What is beyond the edge is dry to the libraries and not there to us; with a dry rim there is no difference."""
    return np.pad(field, cells, constant_values=0.0)


@pytest.mark.parametrize("edge", [1, 3, 5, 7])
def test_fractions_skill_score_with_missing_cells(case, edge):
    """`nowcast-bench` alone has fractions of the observed cells; the others count a missing cell as dry."""
    forecast, observed = with_dry_rim(case.forecast), with_dry_rim(case.observed)
    oracle = bench.fss(observed, forecast, MMH, edge, boundary="pad")
    assert oracle.had_missing
    assert isinstance(oracle.value, float)
    totals = FSS(MMH, edge).totals(forecast, observed)
    assert FSS(MMH, edge).value(totals) == pytest.approx(oracle.value, rel=SCORES_WITHIN)
    assert totals.windows == oracle.n_windows


@pytest.mark.parametrize("edge", [3, 7])
@pytest.mark.parametrize(
    "oracle",
    [
        lambda f, o, edge: fss_2d_single_field(f, o, event_threshold=MMH, window_size=(edge, edge), zero_padding=True),
        lambda f, o, edge: fss_of_pysteps(f, o, MMH, edge),
    ],
    ids=["scores", "pysteps"],
)
def test_fractions_skill_score_without_missing_cells(case, edge, oracle):
    forecast, observed = (with_dry_rim(np.nan_to_num(field)) for field in (case.forecast, case.observed))
    score = FSS(MMH, edge)
    assert score.value(score.totals(forecast, observed)) == pytest.approx(
        float(oracle(forecast, observed, edge)), rel=SCORES_WITHIN
    )


def test_power_by_wavelength():
    """The same ratio as from the rings of pysteps, which are one wave wide, of fields faded in the same way."""
    height, width = 64, 64
    random = np.random.default_rng(3)
    observed = random.gamma(0.5, 1.0, (height, width))
    waves = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    forecast = np.fft.ifft2(np.fft.fft2(observed) * np.exp(-((waves / 0.5) ** 2))).real
    fade = np.outer(*[np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2 for size in (height, width)])
    rings = [
        rapsd((field - field.mean()) * fade, fft_method=np.fft) * rings_of(height) for field in (forecast, observed)
    ]
    for middle_km, ratio, frames in PowerSpectrum().totals(forecast, observed).ratios():
        first, last = (height / (middle_km * 2**step) for step in (0.25, -0.25))
        chosen = [ring for ring in range(1, height // 2) if first < ring <= last]
        assert frames == 1
        if len(chosen) > 4:  # a ring at the edge of a band has waves of both
            assert ratio == pytest.approx(rings[0][chosen].sum() / rings[1][chosen].sum(), rel=0.05)


def rings_of(size):
    """Number of waves of each ring."""
    wave = np.arange(size) - size // 2
    ring = np.hypot(wave[:, None], wave).round().astype(int)
    return np.bincount(ring.ravel())[: size // 2]


# --- probabilities ---


def event_of(observed):
    return np.where(np.isfinite(observed), observed >= MMH, NAN)


def test_brier_score(case):
    ours = value(Brier(MMH), case.probability, case.observed)
    library = brier_score(labelled(case.probability), labelled(event_of(case.observed)))
    assert ours == pytest.approx(float(library), rel=SCORES_WITHIN)


def test_brier_score_of_shares_of_members(case):
    share = (case.members >= MMH).mean(axis=0)
    share[np.isnan(case.members).any(axis=0)] = NAN
    members = np.where(np.isnan(share), NAN, case.members)  # the library takes the share of the members that are there
    library = brier_score_for_ensemble(labelled(members), labelled(case.observed), "member", MMH, fair_correction=False)
    ours = value(Brier(MMH), share, case.observed)
    assert ours == pytest.approx(float(library.squeeze()), rel=SCORES_WITHIN)


def test_bins_of_reliability(case):
    """pysteps closes its bins above, ours are closed below: probabilities at an edge are moved off it."""
    at_edge = np.isclose(case.probability * 10, np.rint(case.probability * 10))
    probability = np.where(at_edge, np.abs(case.probability - 1e-3), case.probability)
    library = reldiag_init(MMH, n_bins=10, min_count=0)
    reldiag_accum(library, probability, case.observed)
    ours = Reliability(MMH).totals(probability, case.observed)
    assert list(ours.cells) == library["num_idx"].tolist()
    assert list(ours.events) == library["Y_sum"].tolist()
    np.testing.assert_allclose(np.array(ours.probability_ppm) / 1e6, library["X_sum"], atol=1e-6 * case.observed.size)


def test_parts_of_the_brier_score(case):
    """Where a bin has one probability only, the parts of Murphy add up to the score itself."""
    probability = np.minimum(np.floor(case.probability * 10), 9) / 10 + 0.05
    parts = Reliability(MMH).totals(probability, case.observed).brier_parts()
    library = brier_score(labelled(probability), labelled(event_of(case.observed)))
    assert parts is not None
    assert parts.brier == pytest.approx(float(library), rel=SCORES_WITHIN)


def area_of_scores(probability, observed):
    return float(roc(labelled(probability), labelled(event_of(observed)), thresholds=list(EDGES))["AUC"])


def area_of_pysteps(probability, observed):
    curve = ROC_curve_init(MMH, n_prob_thrs=len(EDGES))
    curve["prob_thrs"] = np.array(EDGES)
    ROC_curve_accum(curve, probability, observed)
    return ROC_curve_compute(curve, compute_area=True)[2]


@pytest.mark.parametrize("oracle", [area_of_scores, area_of_pysteps])
def test_area_under_the_relative_operating_characteristic(case, oracle):
    ours = value(RocArea(MMH), case.probability, case.observed)
    assert ours == pytest.approx(oracle(case.probability, case.observed), rel=SCORES_WITHIN)
    assert 0.5 < ours < 1.0


def test_continuous_ranked_probability_score_of_probabilities(case):
    rates = (0.5, 1.0, 2.0, 5.0)
    chance_KHW = np.stack([case.probability ** (1 + mmh) for mmh in rates])
    edges = np.array([0.0, *rates, HIGHEST_MMH])
    below = 1 - np.stack([chance_KHW[0], *chance_KHW, np.where(np.isnan(case.probability), NAN, 0.0)])
    forecast = DataArray(below, dims=("rate", "y", "x"), coords={"rate": edges})
    seen = labelled(np.where(np.isnan(case.probability), NAN, case.observed))  # the library takes one mask from each
    library = crps_cdf(forecast, seen, threshold_dim="rate")["total"]
    assert value(CRPS(rates), chance_KHW, case.observed) == pytest.approx(float(library), rel=SCORES_WITHIN)


# --- members ---


def crps_of_scores(members, observed, method):
    every = np.where(np.isnan(members).any(axis=0), NAN, members)  # the library takes the members that are there
    return float(crps_for_ensemble(labelled(every), labelled(observed), "member", method=method))


def crps_of_pysteps(members, observed, method):
    """pysteps leaves out a step of the distribution next to an observation that equals a member."""
    assert method == "ecdf"
    total = CRPS_init()
    CRPS_accum(total, members, observed)
    return CRPS_compute(total)


@pytest.mark.parametrize(
    ("oracle", "name", "method"),
    [
        (crps_of_scores, "crps-members", "ecdf"),
        (crps_of_scores, "crps-fair", "fair"),
        (crps_of_pysteps, "crps-members", "ecdf"),
    ],
)
def test_continuous_ranked_probability_score_of_members(case, oracle, name, method):
    observed = case.observed + 0.001 if oracle is crps_of_pysteps else case.observed
    ours = value(SCORES.get(name)(), case.members, observed)
    assert ours == pytest.approx(oracle(case.members, observed, method), rel=SCORES_WITHIN)


def wet_cells(case):
    wet = (case.observed >= 0.1) | (case.members >= 0.1).any(axis=0)
    return np.where(wet, case.members, NAN), np.where(wet, case.observed, NAN)


def test_ranks_with_ties_shared(case):
    """The library has dry cells too, which we leave out; both share a cell among the ranks that are equal."""
    members, observed = wet_cells(case)
    library = rank_histogram(labelled(members), labelled(observed), "member")
    shares = [share for share, _ in RankHistogram().totals(case.members, case.observed).shares()]
    assert shares == pytest.approx(library.values.tolist(), rel=SCORES_WITHIN)
    assert len(shares) == 8


def test_ranks_without_ties(case):
    """pysteps puts a tie at a random rank: where no member is dry, the two agree in numbers of cells."""
    members = np.where(case.members == 0.0, 0.2 + np.arange(7)[:, None, None] / 100, case.members)
    observed = np.where(case.observed == 0.0, 0.15, case.observed)
    library = rankhist_init(7, 0.1)
    rankhist_accum(library, members, observed)
    cells = RankHistogram().totals(members, observed).cells_nano
    assert cells[:8] == tuple(10**9 * library["n"])
    assert sum(cells[8:]) == 0
    assert len(cells) == MOST_MEMBERS + 1


def test_spread_and_error_of_the_mean(case):
    """The mean squared distance of two members is twice their variance."""
    seen = np.isfinite(case.observed) & np.isfinite(case.members).all(axis=0)
    members, observed = case.members[:, seen][:, None], case.observed[seen][None]
    totals = SpreadSkill().totals(case.members, case.observed)
    assert totals.spread**2 == pytest.approx(ensemble_spread(members, "MSE") / 2 * 8 / 7, rel=1e-5)
    assert totals.error**2 == pytest.approx(det_cont_fct(members.mean(axis=0), observed, "MSE")["MSE"], rel=1e-5)
    assert totals.cells == np.count_nonzero(seen)


def test_an_oracle_of_every_score_or_a_reason():
    """A new score gets an oracle here, or a reason why no library has it."""
    here = {"csi", "hss", "pod", "far", "bias", "ets", "rate-mae", "fss", "power-spectrum", "brier", "reliability"}
    here |= {"roc-area", "crps", "crps-members", "crps-fair", "rank-histogram", "spread-skill"}
    elsewhere = {
        "ssim": "tests/verification/test_picture_scores.py, torchmetrics",
        **dict.fromkeys(("mse", "mae", "psnr", "gdl", "b-mse", "b-mae"), "the paper's, worked out by hand"),
        **dict.fromkeys(("near-csi", "near-brier", "near-brier-members"), "no library: by loops in test_nearby"),
    }
    assert here | set(elsewhere) >= {name for name in SCORES.names() if name not in ("toy", "squall")}
