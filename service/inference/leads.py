"""The lead times of a forecast, multiples of its window's cadence, and whether a model can honour the settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from core.errors import ConfigError, ConflictError, UnknownNameError
from core.settings import Settings
from service.inference.registry import ModelRegistry

Leads = tuple[int, ...]


@dataclass(frozen=True)
class LeadPolicy:
    """Which leads forecasts have.

    Attributes:
        longest_minutes: no lead is longer.
        step_minutes: spacing of the leads; None: the cadence of the window.
    """

    longest_minutes: int = 150
    step_minutes: int | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the policy of the settings.

        Raises:
            ConfigError: the spacing is longer than the longest lead.
        """
        if (settings.lead_step_minutes or 0) > settings.lead_minutes:
            raise ConfigError(
                f"NOWCAST_LEAD_STEP_MINUTES: expected at most NOWCAST_LEAD_MINUTES ({settings.lead_minutes}), got "
                f"{settings.lead_step_minutes}"
            )
        return cls(settings.lead_minutes, settings.lead_step_minutes)

    def leads(self, cadence_minutes: int, *, of_upload: bool = False) -> Leads:
        """Return the leads in minutes for a window of some cadence.

        Args:
            cadence_minutes: spacing of the window's fields.
            of_upload: frames of a user: a spacing of the settings that their cadence cannot have is left out.

        Raises:
            ConflictError: no lead is possible, or the cadence does not allow the spacing of the settings.
        """
        step = self.step_minutes or cadence_minutes
        if step % cadence_minutes:
            if not of_upload:
                raise ConflictError(
                    f"NOWCAST_LEAD_STEP_MINUTES: expected a multiple of the window's cadence of {cadence_minutes} "
                    f"minutes, got {step}"
                )
            step = cadence_minutes
        leads = tuple(range(step, self.longest_minutes + 1, step))
        if not leads:
            raise ConflictError(
                f"expected frames at most {self.longest_minutes} minutes apart (NOWCAST_LEAD_MINUTES), got a cadence "
                f"of {cadence_minutes} minutes"
            )
        return leads


@dataclass(frozen=True)
class ModelScale:
    """The cells and the cadence that a model runs at; None for a model of any scale."""

    pixel_m: float
    cadence_minutes: int

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> "ModelScale | None":
        """Return the scale of a checkpoint's card, which for a model of any scale names the length of its window."""
        if not card or card.get("window_minutes") or "error" in card:
            return None
        return cls(float(card["pixel_m"]), int(card["cadence_minutes"]))


def check_scale(settings: Settings, name: str, scale: ModelScale | None) -> None:
    """Check that a model can honour the settings of grid and leads.

    Raises:
        ConfigError: it cannot; the message names the setting and the reason.
    """
    policy = LeadPolicy.of(settings)
    if scale is None:
        return
    if settings.grid_m is not None:
        raise ConfigError(
            f"NOWCAST_GRID_M: {name} runs on cells of {scale.pixel_m:.0f} m alone; expected no value, got "
            f"{settings.grid_m:g}"
        )
    try:
        policy.leads(scale.cadence_minutes)
    except ConflictError as err:
        raise ConfigError(f"{name} has a cadence of {scale.cadence_minutes} minutes: {err}") from err


def check_model(settings: Settings) -> None:
    """Check the scheduled model by its card alone, without loading it.

    Raises:
        ConfigError: there is no such model, or it cannot honour the settings of grid and leads.
    """
    try:
        found = ModelRegistry(settings.home, also=[settings.model]).find(settings.model)
    except UnknownNameError as err:
        raise ConfigError(f"NOWCAST_MODEL: {err}") from err
    check_scale(settings, found.name, ModelScale.of_card(found.card))
