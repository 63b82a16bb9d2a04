"""Makes the ensemble members of a stored forecast from its own files: the input, and the calibrated probabilities."""

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from core.cf import NETCDF_C
from core.errors import NoDataError
from core.files import write_atomically
from core.shared_files import is_shared, publish
from service.forecasts.member_codes import RateCodes
from service.forecasts.member_file import MembersContent, members_dataset
from service.forecasts.members import members_path
from service.forecasts.probabilities import read_probabilities
from service.forecasts.products import kept_input
from service.forecasts.records import StoredForecast

if TYPE_CHECKING:  # models imports torch, which the web process loads later
    from models.guided.members import EnsembleMembers


def lacks_members(forecast: StoredForecast, members: int) -> bool:
    """Return whether members can be made and are not: the forecast has probabilities, and its input is kept."""
    possible = bool(members and forecast.thresholds_mmh) and forecast.has_inputs
    return possible and not is_shared(members_path(forecast))


def make_members(forecast: StoredForecast, members: int) -> Path:
    """Return the file of a forecast's members, made at the first call.

    The noise depends on the forecast's id alone, so a file that was deleted is made again alike.

    Args:
        forecast: with probabilities, and with its input kept.
        members: their number.

    Raises:
        NoDataError: the files of the forecast are not readable, or it has no probabilities.
    """
    path = members_path(forecast)
    if is_shared(path):
        return path
    ensemble, steps = _ensemble(forecast, members)
    codes = RateCodes(forecast.thresholds_mmh)
    codes_MLHW = np.empty((members, len(steps), *ensemble.shape), np.uint8)
    for lead, step in enumerate(steps):
        found = read_probabilities(forecast.path, [lead])
        if found is None:
            raise NoDataError(f"forecast {forecast.id} has no probabilities")
        rate_mmh_MHW = ensemble.at(step, found.probability_NTHW[:, 0], found.thresholds_mmh)
        codes_MLHW[:, lead] = codes.encoded(rate_mmh_MHW)
    content = MembersContent(codes_MLHW, codes.table, ensemble.factor, ensemble.amounts())
    dataset = members_dataset(forecast, content)
    with NETCDF_C:
        write_atomically(
            path, lambda temporary: dataset.to_netcdf(temporary, format="NETCDF4", engine="netcdf4"), checksum=True
        )
    publish(path)
    return path


def _ensemble(forecast: StoredForecast, members: int) -> tuple["EnsembleMembers", list[int]]:
    """Return the ensemble of a forecast, and its leads in steps of its window."""
    from models.guided.members import EnsembleMembers  # imports torch: not every process forecasts

    inputs = kept_input(forecast)
    steps = [round(lead / inputs.cadence_minutes) for lead in forecast.lead_minutes]
    ensemble = EnsembleMembers(
        inputs.rate_mmh_THW,
        steps[-1],
        cadence_minutes=inputs.cadence_minutes,
        pixel_m=forecast.grid.pixel_m,
        members=members,
        seed=UUID(forecast.id).int % 2**32,
    )
    return ensemble, steps
