"""The catalogue is rebuilt from the files, and other files do not disturb it."""

from datetime import timedelta

from service.forecasts.catalogue import Catalogue


def test_rebuild_gives_the_same_forecasts(world, window_frames, later_frames):
    world.put(*window_frames)
    stored = world.service.forecast_stored()
    world.service.forecast_upload(window_frames, later_frames)
    before = world.service.list()
    assert len(before) == 6
    assert world.service.catalogue.rebuild() == 6
    assert world.service.list() == before
    assert world.service.get(stored.id) == stored


def test_a_new_database_finds_the_forecasts_by_itself(world, window_frames, tmp_path):
    world.put(*window_frames)
    world.service.forecast_stored()
    fresh = Catalogue(world.home, f"sqlite:///{tmp_path / 'other.sqlite'}")
    assert fresh.select() == world.service.catalogue.select()


def test_foreign_and_cut_files_are_left_out(world, window_frames):
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    forecast.path.with_name("foreign.nc").write_bytes(b"not a file of ours")
    forecast.path.with_name("cut.nc").write_bytes(forecast.path.read_bytes()[:1000])
    forecast.path.with_name("scan.nc").write_bytes(world.store.scans()[0].path.read_bytes())
    assert world.service.catalogue.rebuild() == 3


def test_scores_come_back_from_scans(world, window_frames, later_frames):
    world.put(*window_frames, *later_frames)
    world.service.forecast_stored(window_frames[-1].valid_time)
    count = world.service.verify_observed()
    world.now += timedelta(hours=3)
    rolling = world.service.rolling()
    with world.service.catalogue.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM score_sums")
        connection.exec_driver_sql("DELETE FROM scored_leads")
    assert world.service.verify_observed() == count
    assert world.service.rolling() == rolling


def test_selection(world, rain):
    world.put(*(rain(minutes) for minutes in range(0, 181, 30)))
    times = [rain(minutes).valid_time for minutes in (120, 150, 180)]
    for time in times:
        world.service.forecast_stored(time)
    found = world.service.list(model="default")
    assert [one.reference_time for one in found] == times[::-1]
    assert world.service.list(model="fading") == found
    assert [one.reference_time for one in world.service.list(model="fading", start=times[1], end=times[1])] == [
        times[1]
    ]
    assert len(world.service.list(limit=4)) == 4
    assert world.service.latest() == found[0]


def test_a_forecast_that_is_made_during_a_rebuild_stays(world, window_frames, monkeypatch):
    catalogue = world.service.catalogue
    made = world.service.forecast_upload(window_frames)
    files = catalogue._own_files

    def before_it_was_made():
        return (path for path in files() if path != made.path)

    monkeypatch.setattr(catalogue, "_own_files", before_it_was_made)
    catalogue.rebuild()
    assert catalogue.find(made.id) is not None
