"""The data set of whole spells: cells of one size for any field, one side of a split for every spell."""

import numpy as np
import pytest
import torch

from core.errors import ConfigError
from core.units import PAPER_PIXEL_M
from training.datasets import build_dataset
from training.datasets.event_table import load_table
from training.datasets.series import open_series
from training.datasets.spells import SpellOptions, Spells, fitted

STEPS = {"input_steps": 3, "lead_steps": 2, "seed": 4}


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    """The miniature's folder and options."""
    folder = tmp_path_factory.mktemp("spells")
    return folder, Spells.miniature(folder)


def build(mini, split, **more):
    folder, options = mini
    return build_dataset("spells", folder, split, {**options, **more}, **STEPS)


def test_the_defaults_put_no_spell_on_two_sides():
    options, table = SpellOptions(), load_table()
    chosen = [table.spell(name) for name in (*options.trained, *options.validated, *options.tested)]
    assert len({spell.name for spell in chosen}) == len(chosen) == 7
    assert all(spell.role == "train" for spell in chosen[:3])
    assert table.spell_of("dwd_ry_20180712_12.nc").name in options.trained


def test_a_field_is_cut_or_padded_in_its_middle(mini):
    folder, _ = mini
    one = open_series(folder / "spell_1.nc")  # 24 x 24 cells of 37.5 km
    same_HW = fitted(one, 3, (24, 24), 37_500.0)
    np.testing.assert_allclose(same_HW, one.field_mmh(3), rtol=1e-3, atol=1e-6)
    both_HW = fitted(one, 3, (30, 20), 37_500.0)
    np.testing.assert_array_equal(both_HW[3:27], same_HW[:, 2:22])
    assert np.isnan(both_HW[:3]).all()
    assert np.isnan(both_HW[27:]).all()
    coarse_HW = fitted(one, 3, (12, 12), 75_000.0)
    assert np.isfinite(coarse_HW).all()
    assert coarse_HW.sum() == pytest.approx(same_HW.sum() / 4, rel=0.05)


def test_training_cuts_are_a_function_of_seed_and_index(mini):
    one, two, other = (
        build(mini, "train", crop=8),
        build(mini, "train", crop=8),
        build(mini, "train", crop=8, samples=9),
    )
    assert len(one) == 6
    assert len(other) == 9
    for index in (4, 0, 4):
        assert torch.equal(one[index].past_TCHW, two[index].past_TCHW)
        assert one[index].past_TCHW.shape == (3, 1, 8, 8)
    assert not torch.equal(one[0].past_TCHW, one[1].past_TCHW)
    assert {tuple(build(mini, "train")[k].past_TCHW.shape) for k in range(6)} == {(3, 1, 12, 10)}


def test_resized_fields_are_read_from_the_cache(mini, tmp_path):
    plain, cached = build(mini, "validation"), build(mini, "validation", cache=str(tmp_path))
    assert len(list(tmp_path.glob("spell_3-*.npy"))) == 1
    again = build(mini, "validation", cache=str(tmp_path))
    for index in range(len(plain)):
        assert torch.equal(plain[index].past_TCHW, cached[index].past_TCHW)
        assert torch.equal(plain[index].future_TCHW, again[index].future_TCHW)
    assert plain.fingerprint == again.fingerprint


def test_wrong_spells_are_refused(mini, caplog):
    with pytest.raises(ConfigError, match="expected every spell once, got s1"):
        build(mini, "train", validated=["s1"])
    with pytest.raises(ConfigError, match=r"expected spells with the role train, got s5 \(unseen\)"):
        build(mini, "train", trained=["s5"], tested=["s1"])
    with pytest.raises(ConfigError, match="unknown spell 's9'"):
        build(mini, "train", trained=["s9"])
    with pytest.raises(ConfigError, match="got no window for the train split"):
        build(mini, "train", exclude=["spell_1"])
    assert len(build(mini, "train", trained=["s1"], tested=[])) == 6


def test_real_fields_are_on_the_paper_s_cells(shared_data):
    events = shared_data / "events"
    germany = fitted(open_series(events / "opera_germany_20180824.nc"), 0, (124, 124), PAPER_PIXEL_M)
    assert np.isfinite(germany).mean() > 0.9
    centre = fitted(open_series(events / "it_centre_20250331_0010.nc"), 0, (124, 124), PAPER_PIXEL_M)
    rows, cols = (np.flatnonzero(np.isfinite(centre).any(axis=axis)) for axis in (1, 0))
    assert 124 / 2 - 31 <= rows[0] < rows[-1] <= 124 / 2 + 30  # 438 x 409 km
    assert 124 / 2 - 29 <= cols[0] < cols[-1] <= 124 / 2 + 28
