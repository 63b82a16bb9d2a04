"""Named regions that rules may use: the states of Germany, and what the operator's GeoJSON file names."""

import json
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

import shapely
from shapely.errors import GEOSException

from core.errors import ConfigError, InputError, UnknownNameError
from service.queries.areas import checked_polygon
from service.queries.longitudes import Polygon

STATES: Final = Path(__file__).with_name("german_states.geojson")
ATTRIBUTION: Final = "States of Germany: Natural Earth (public domain)"


class Regions:
    """The regions of a GeoJSON file and the states of Germany; of one id the file's counts.

    Args:
        file: a FeatureCollection; a feature's id is `id`, or `properties.id`, and its name `properties.name`. Its
            member `attribution` is the credit that its licence asks for.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Return the name of each region by its id."""
        return {region: name for region, (name, _) in self._all.items()}

    @cached_property
    def attribution(self) -> str:
        """Return the credit of all regions."""
        own = _loaded(self._file).get("attribution") if self._file else None
        return f"{ATTRIBUTION}; {own}" if isinstance(own, str) and own else ATTRIBUTION

    def find(self, region: str) -> Polygon | None:
        """Return the polygon of a region in longitude and latitude; None if the operator has removed it."""
        return self._all[region][1] if region in self._all else None

    def check(self, region: str) -> None:
        """Check that there is such a region.

        Raises:
            UnknownNameError: there is none.
        """
        if region not in self._all:
            raise UnknownNameError(f"region: expected one of GET /rules/regions ({len(self._all)}), got {region!r}")

    @cached_property
    def _all(self) -> Mapping[str, tuple[str, Polygon]]:
        return {**_read(STATES), **(_read(self._file) if self._file else {})}


@lru_cache(maxsize=4)
def regions_of(file: Path | None) -> Regions:
    """Return the regions of this process."""
    return Regions(file)


def _read(path: Path) -> dict[str, tuple[str, Polygon]]:
    """Read the regions of a GeoJSON file.

    Raises:
        ConfigError: it is not a FeatureCollection of polygons with ids.
    """
    found: dict[str, tuple[str, Polygon]] = {}
    for feature in _loaded(path)["features"]:
        try:
            region, named = _region(feature)
            if region in found:
                raise InputError(f"the id {region!r} is there already")
        except (ValueError, KeyError, TypeError, AttributeError, GEOSException, InputError) as err:
            raise _unusable(path, f"feature {len(found) + 1}: {err}") from err
        found[region] = named
    return found


def _loaded(path: Path) -> Mapping[str, Any]:
    """Load a GeoJSON file.

    Raises:
        ConfigError: it is not a FeatureCollection.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as err:
        raise _unusable(path, err) from err
    if not isinstance(document, dict) or not isinstance(document.get("features"), list):
        raise _unusable(path, "there is no list of features")
    return document


def _unusable(path: Path, reason: object) -> ConfigError:
    return ConfigError(
        f"NOWCAST_REGIONS: expected a GeoJSON FeatureCollection of polygons with ids in {path}: {reason}"
    )


def _region(feature: Mapping[str, Any]) -> tuple[str, tuple[str, Polygon]]:
    properties = feature.get("properties")
    known = properties if isinstance(properties, dict) else {}
    region = str(feature.get("id", known.get("id", "")))
    if not region:
        raise InputError("expected an id, got none")
    polygon = checked_polygon(shapely.from_geojson(json.dumps(feature["geometry"])))
    return region, (str(known.get("name", region)), polygon)
