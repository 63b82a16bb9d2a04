"""The file of ensemble members: made once from the forecast's own files, read by place, block and lead."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import xarray as xr

from core.errors import NoDataError
from core.files import damage_in
from models.guided.members import coarse
from service.forecasts.member_codes import NO_DATA, RateCodes, decoded
from service.forecasts.member_maker import lacks_members, make_members
from service.forecasts.member_tiles import MemberTiles
from service.forecasts.members import (
    member_count,
    member_field,
    members_at,
    members_path,
    read_amounts,
    read_members,
)
from service.forecasts.probabilities import read_probabilities
from service.forecasts.retention import IN_USE, sweep_forecasts
from tests.ingest.store.test_healing import flip
from tests.service.api_support import chance_of
from tests.service.conftest import Fading

RATES_MMH = (0.1, 0.5, 5.0)


def chances(rate_mmh_LHW):
    return np.stack([chance_of(rate_mmh_LHW, mmh) for mmh in RATES_MMH])


@pytest.fixture
def world(open_world):
    return open_world(Fading(thresholds_mmh=RATES_MMH, chances=chances))


@pytest.fixture
def forecast(world, window_frames):
    world.put(*window_frames)
    return world.service.forecast_stored(with_baselines=False)


def test_codes_keep_the_share_above_every_threshold():
    codes = RateCodes((0.1, 0.5, 5.0, 20.0))
    rates = np.concatenate([np.geomspace(0.02, 100, 5000), [0.1, 0.5, 5.0, 20.0, 0.0, np.nan]]).astype(np.float32)
    found = decoded(codes.encoded(rates), codes.table)
    for mmh in (0.1, 0.5, 5.0, 20.0):
        np.testing.assert_array_equal(found >= np.float32(mmh), rates >= np.float32(mmh))
    within = (rates >= 0.1) & (rates < 60)
    np.testing.assert_allclose(found[within], rates[within], rtol=0.04)
    assert codes.encoded(rates)[-1] == NO_DATA
    assert np.isnan(found[-1])
    assert (found[rates < 0.1] == 0).all()


def test_members_follow_the_stored_probabilities(forecast):
    assert lacks_members(forecast, 6)
    assert read_members(forecast) is None
    assert read_amounts(forecast) is None
    assert members_at(forecast, (3, 3)) is None
    path = make_members(forecast, 6)
    assert path == members_path(forecast)
    assert not lacks_members(forecast, 6)
    found = read_members(forecast)
    stored = read_probabilities(forecast.path)
    assert found is not None
    assert stored is not None
    assert found.shape == (6, len(forecast.lead_minutes), *forecast.grid.shape)
    for number, mmh in enumerate(stored.thresholds_mmh):
        share_LHW = (found[:, :, ::2, ::2] >= np.float32(mmh)).mean(axis=0)
        for share_HW, probability_HW in zip(share_LHW, stored.probability_NTHW[number], strict=True):
            assert np.nanmax(np.abs(share_HW - coarse(probability_HW, 2))[4:, 4:]) <= 1 / 6 + 1e-3
    np.testing.assert_array_equal(np.isnan(found[0]), np.isnan(stored.probability_NTHW[0]))


def test_members_of_an_id_are_always_the_same(forecast):
    first = make_members(forecast, 4).read_bytes()
    before = read_members(forecast)
    changed = members_path(forecast).stat().st_mtime_ns
    make_members(forecast, 4)
    assert members_path(forecast).stat().st_mtime_ns == changed, "made once"
    members_path(forecast).unlink()
    assert len(make_members(forecast, 4).read_bytes()) == len(first)
    np.testing.assert_array_equal(read_members(forecast), before)


def test_a_place_a_block_and_a_lead_are_parts_of_the_whole(forecast):
    make_members(forecast, 4)
    whole = read_members(forecast)
    assert whole is not None
    np.testing.assert_array_equal(members_at(forecast, (37, 17)), whole[:, :, 37, 17])
    part = read_members(forecast, [2, 0], slice(3, 20), slice(11, 12))
    np.testing.assert_array_equal(part, whole[:, [2, 0], 3:20, 11:12])
    amounts, some = read_amounts(forecast), read_amounts(forecast, slice(3, 20), slice(11, 12))
    assert amounts is not None
    assert some is not None
    assert amounts.minutes == (60, 120)
    np.testing.assert_array_equal(some.probability_SKHW, amounts.probability_SKHW[:, :, 3:20, 11:12])
    np.testing.assert_array_equal(some.quantile_mm_SQHW, amounts.quantile_mm_SQHW[:, :, 3:20, 11:12])
    assert np.isnan(amounts.quantile_mm_SQHW[:, :, :4, :4]).all()
    assert (np.diff(amounts.quantile_mm_SQHW[:, :, 10:], axis=1) >= 0).all()


def test_chunks_stay_in_memory_up_to_a_number_of_bytes(forecast):
    path, (first, near, far) = make_members(forecast, 4), ((20, 20), (21, 27), (37, 37))
    whole, leads = read_members(forecast), len(forecast.lead_minutes)
    assert whole is not None
    tiles = MemberTiles(most_bytes=4 * leads * (16 * 16 + 16 * 4))
    assert tiles.held(path, first) is None
    for cell in (first, far):
        np.testing.assert_array_equal(tiles.read(path, cell), whole[:, :, *cell])
    np.testing.assert_array_equal(tiles.held(path, near), whole[:, :, *near])
    tiles.read(path, (3, 37))
    assert tiles.held(path, far) is None
    assert tiles.held(path, first) is not None


def test_the_file_is_self_describing(forecast):
    with xr.open_dataset(make_members(forecast, 4), decode_timedelta=False) as file:
        assert file.attrs["forecast_id"] == forecast.id
        assert file["time"].size == len(forecast.lead_minutes)
        assert file["amount_exceedance_probability"].max() <= 1
        assert file["amount_quantile"].attrs["units"] == "mm"


def test_the_file_is_no_forecast_of_the_catalogue(world, forecast):
    known = len(world.service.list())
    make_members(forecast, 4)
    world.service.catalogue.rebuild()
    assert len(world.service.list()) == known


def test_members_are_no_export_and_go_with_their_forecast(open_world, window_frames):
    world = open_world(Fading(thresholds_mmh=RATES_MMH, chances=chances), exports_keep_days=0)
    world.put(*window_frames)
    world.now = datetime.now(UTC)
    upload = world.service.forecast_upload(window_frames)
    make_members(upload, 4)
    later = datetime.now(UTC) + 2 * IN_USE
    assert sweep_forecasts(world.service, later) == {}
    assert members_path(upload).is_file()
    sweep_forecasts(world.service, later + timedelta(days=400))
    assert not upload.path.is_file()
    assert not members_path(upload).is_file()


def test_without_input_or_probabilities_there_are_no_members(world, forecast):
    assert not lacks_members(forecast, 0)
    baseline = world.service.forecast_stored(model="persistence", with_baselines=False)
    assert not lacks_members(baseline, 4)
    forecast.inputs_path.unlink()
    assert not lacks_members(forecast, 4)
    with pytest.raises(NoDataError, match="inputs"):
        make_members(forecast, 4)


def test_a_damaged_file_is_an_error_that_names_the_forecast(forecast):
    members_path(forecast).write_bytes(b"not a file")
    for read in (read_members, read_amounts, lambda one: members_at(one, (1, 1))):
        with pytest.raises(NoDataError, match=forecast.id):
            read(forecast)


def test_every_reader_finds_a_damaged_file_by_its_checksum(forecast):
    path = make_members(forecast, 4)
    flip(path, path.stat().st_size - 1)
    readers = (read_members, read_amounts, lambda one: members_at(one, (1, 1)), member_count)
    for read in (*readers, lambda one: member_field(one, 0, 0)):
        with pytest.raises(NoDataError) as caught:
            read(forecast)
        found = damage_in(caught.value)
        assert found is not None
        assert found.path == path
