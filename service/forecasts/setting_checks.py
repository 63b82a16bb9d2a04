"""Whether model and stored scans can honour the settings of grid and leads."""

from datetime import timedelta
from typing import Final

from core.cells import cell_edges_m, mean_edge_m
from core.errors import ConfigError, ConflictError, NoDataError, UnknownNameError
from core.settings import Settings
from ingest.store.live import Store
from service.forecasts.schedule import ForecastSchedule
from service.inference.leads import LeadPolicy, ModelScale, check_scale
from service.inference.predictor import Predictor

MINUTE: Final = timedelta(minutes=1)
SAME_EDGE: Final = 0.02
"""Relative difference of two edges that count as the same: of cells in degrees, the edge in metres varies."""


class SettingChecks:
    """The checks of one service; what depends on scans is known once two of them are stored."""

    def __init__(self, settings: Settings, store: Store, predictor: Predictor, schedule: ForecastSchedule) -> None:
        self._settings, self._store, self._predictor, self._schedule = settings, store, predictor, schedule
        self._edges_m: dict[str, float] = {}

    def check(self) -> None:
        """Check the scheduled model, and the stored scans if there are any.

        Raises:
            ConfigError: there is no such model, or a setting cannot be honoured; the message names it and the reason.
        """
        try:
            found = self._predictor.forecaster(self._settings.model)
        except UnknownNameError as err:
            raise ConfigError(f"NOWCAST_MODEL: {err}") from err
        scale = None if found.any_scale else ModelScale(found.pixel_m, round(found.cadence_minutes))
        check_scale(self._settings, found.name, scale)
        if scale is None:
            self._check_scans()

    @property
    def trouble(self) -> str | None:
        """Return which setting cannot be honoured, and why; None if all can."""
        try:
            self.check()
        except ConfigError as err:
            return str(err)
        return None

    def _check_scans(self) -> None:
        newest = self._store.latest()
        cadence = self._schedule.cadence(newest.product) if newest else None
        if newest is None or cadence is None:
            return
        if newest.grid_key not in self._edges_m:
            try:
                self._edges_m = {newest.grid_key: mean_edge_m(*cell_edges_m(self._store.load(newest).grid))}
            except NoDataError:  # deleted a moment ago; the next call finds a newer one
                return
        check_scans(self._settings, round(cadence / MINUTE), self._edges_m[newest.grid_key])


def check_scans(settings: Settings, cadence_minutes: int, pixel_m: float) -> None:
    """Check that stored scans allow the settings of grid and leads, for a model of any scale.

    Args:
        settings: of the service.
        cadence_minutes: spacing of the scans.
        pixel_m: edge of their cells.

    Raises:
        ConfigError: they do not; the message names the setting and the reason.
    """
    if settings.grid_m is not None and settings.grid_m < pixel_m * (1 - SAME_EDGE):
        raise ConfigError(
            f"NOWCAST_GRID_M: expected at least the edge of the scans' cells, {pixel_m:g} m, got {settings.grid_m:g}"
        )
    try:
        LeadPolicy.of(settings).leads(cadence_minutes)
    except ConflictError as err:
        raise ConfigError(f"the stored scans are {cadence_minutes} minutes apart: {err}") from err
