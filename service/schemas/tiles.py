"""Responses about the layers of the tiles."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from service.schemas.base import Out


class TileColourOut(Out):
    """The colour of the values from one on."""

    from_value: float
    colour: str = Field(description="CSS colour")


class TileLayerOut(Out):
    """One layer, or all ensemble members, whose name holds `{member}`."""

    name: str = Field(description="as the path of a tile has it; with `{member}`: one name for each of `members`")
    kind: Literal["rate", "probability", "member", "sum"]
    unit: str = Field(description="`mm/h`, `mm`, or `1` for a probability")
    threshold_mmh: float | None = Field(None, description="of a probability; null for others")
    members: list[int] = Field(default=[], description="numbers of the ensemble members; empty for other layers")
    period_minutes: tuple[int, int] | None = Field(
        None, description="start and end of a sum in minutes after the time of the tile; null for other layers"
    )
    observed_times: list[datetime] = Field(description="valid times with an observed tile, ascending")
    forecast_times: list[datetime] = Field(description="valid times with a tile of the forecast, ascending")
    tiles: str = Field(description="URI template with time, z, x and y; members also have member")
    legend: list[TileColourOut] = Field(description="lower limit and colour of each class, ascending")


class TileLayersOut(Out):
    """The layers of a forecast and of the scans of the two hours before it."""

    forecast_id: UUID
    reference_time: datetime
    layers: list[TileLayerOut]
    no_data_colour: str = Field(description="CSS colour of grid cells without radar data, which have falling lines")
    unknown_colour: str = Field(
        description="CSS colour of the rising lines over values that rest on no observation, since rain can flow in"
    )
    attribution: str = Field("", description="source of the radar data")
