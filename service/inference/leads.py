"""The lead times of a forecast: multiples of the cadence of its window, up to the longest one of the settings."""

from dataclasses import dataclass
from typing import Self

from core.errors import ConfigError, ConflictError
from core.settings import Settings

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
