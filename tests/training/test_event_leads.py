"""An evaluation compares each forecast with the observation of its own lead."""

from datetime import UTC, datetime

import numpy as np

from training.evaluation.event_windows import EventWindow
from training.evaluation.skill_sums import compared_window
from training.evaluation.window_forecasts import LeadFields

LEADS = (5, 10, 15)
CELLS = np.ones((1, 4), np.float32)
PAST = np.stack([CELLS] * 5)
PAST[0, 0, 0] = np.nan  # the newest scan alone decides on the coverage
NUMBERS = np.stack([number * CELLS for number in (1, 2, 3)])


def test_each_lead_has_its_own_fields():
    """Field number n is n mm/h in the observation, n tenths as probability, and so on; a model lacks the first lead."""
    window = EventWindow(PAST, NUMBERS, LEADS, 5, 1000.0, datetime(2026, 6, 1, tzinfo=UTC), "event.nc", "spell")
    known = np.array([[[True] * 4], [[True] * 3 + [False]], [[True] * 2 + [False] * 2]])
    fields = {
        "extrapolation": LeadFields(LEADS, 10 * NUMBERS, known),
        "model": LeadFields(
            LEADS[1:], 20 * NUMBERS[1:], None, 0.1 * NUMBERS[None, 1:], (1.0,), np.stack([30 * NUMBERS[1:]] * 2)
        ),
    }
    leads = compared_window(fields, window)
    assert [lead.lead_minutes for lead in leads] == list(LEADS)
    for number, lead in enumerate(leads, start=1):
        np.testing.assert_array_equal(lead.observed_HW, number * CELLS)
        np.testing.assert_array_equal(lead.rates["extrapolation"], 10 * number * CELLS)
        assert int(lead.masks["known"].sum()) == 5 - number
        assert ("model" in lead.rates) == (number > 1)
        if number > 1:
            np.testing.assert_array_equal(lead.rates["model"], 20 * number * CELLS)
            np.testing.assert_allclose(lead.exceedance["model"].probability_KHW, 0.1 * number * CELLS[None])
            np.testing.assert_array_equal(lead.members["model"], np.stack([30 * number * CELLS] * 2))
