"""Leads are multiples of the window's cadence up to the longest lead; settings that contradict them are refused."""

import pytest

from core.errors import ConfigError, ConflictError
from core.settings import Settings
from service.inference.leads import LeadPolicy, check_model


@pytest.mark.parametrize(
    ("settings", "cadence", "leads"),
    [
        ({}, 5, tuple(range(5, 151, 5))),
        ({}, 30, (30, 60, 90, 120, 150)),
        ({}, 60, (60, 120)),
        ({}, 20, (20, 40, 60, 80, 100, 120, 140)),
        ({"lead_minutes": 60}, 15, (15, 30, 45, 60)),
        ({"lead_step_minutes": 30}, 5, (30, 60, 90, 120, 150)),
        ({"lead_step_minutes": 60}, 15, (60, 120)),
    ],
)
def test_leads_follow_settings_and_cadence(settings, cadence, leads):
    assert LeadPolicy.of(Settings(**settings)).leads(cadence) == leads


def test_a_step_that_the_cadence_cannot_have_is_refused_for_scans_and_left_out_for_uploads():
    policy = LeadPolicy(150, 10)
    with pytest.raises(
        ConflictError, match=r"NOWCAST_LEAD_STEP_MINUTES: expected a multiple of .* of 15 minutes, got 10"
    ):
        policy.leads(15)
    assert policy.leads(15, of_upload=True) == tuple(range(15, 151, 15))
    assert policy.leads(5, of_upload=True) == tuple(range(10, 151, 10))


def test_a_cadence_longer_than_the_longest_lead_has_no_forecast():
    with pytest.raises(ConflictError, match=r"at most 40 minutes apart .NOWCAST_LEAD_MINUTES., got a cadence of 60"):
        LeadPolicy(40).leads(60)


def test_a_step_beyond_the_longest_lead_stops_the_start():
    with pytest.raises(ConfigError, match=r"NOWCAST_LEAD_STEP_MINUTES: expected at most NOWCAST_LEAD_MINUTES \(60\)"):
        LeadPolicy.of(Settings(lead_minutes=60, lead_step_minutes=90))


@pytest.mark.parametrize(
    ("settings", "phrase"),
    [
        ({"model": "guided", "grid_m": 2000.0}, "NOWCAST_GRID_M: guided runs on cells of 7258 m alone"),
        ({"model": "guided", "lead_step_minutes": 10}, "guided has a cadence of 30 minutes: NOWCAST_LEAD_STEP_MINUTES"),
        ({"model": "gided"}, "NOWCAST_MODEL: .*did you mean guided"),
        ({"lead_minutes": 30, "lead_step_minutes": 45}, "NOWCAST_LEAD_STEP_MINUTES: expected at most"),
    ],
)
def test_a_setting_that_the_card_of_the_model_excludes_stops_the_start(settings, phrase, tmp_path):
    with pytest.raises(ConfigError, match=phrase):
        check_model(Settings(home=tmp_path, **settings))


@pytest.mark.parametrize("settings", [{}, {"grid_m": 2000.0, "lead_step_minutes": 15}, {"model": "guided"}])
def test_settings_that_a_model_can_honour_start(settings, tmp_path):
    check_model(Settings(home=tmp_path, **settings))
    check_model(Settings(home=tmp_path, model="persistence", lead_step_minutes=15))
