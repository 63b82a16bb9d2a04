"""`python -m docs.make_borders TOPOJSON`: coasts and borders of the pictures, as one small file of polylines.

TOPOJSON is `countries-50m.json` of the npm package world-atlas 2.0.2, which `make page` installs (Natural Earth 1:50m,
public domain).
"""

import json
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray
from shapely import LineString

from core.borders import FILE, STEPS_PER_DEGREE

TOLERANCE_DEGREES: Final = 0.01
SOUTHERNMOST: Final = -60.0
"""No radar of a weather service is further south."""


def lines_of(topology: dict[str, Any]) -> list[NDArray[np.int16]]:
    """Return the arcs of a topology as longitudes and latitudes in hundredths of a degree, simplified."""
    scale, translate = (np.array(topology["transform"][name]) for name in ("scale", "translate"))
    found = []
    for arc in topology["arcs"]:
        degrees_N2 = np.cumsum(np.array(arc, np.int64), axis=0) * scale + translate
        if degrees_N2[:, 1].max() < SOUTHERNMOST or len(degrees_N2) < 2:
            continue
        simple = np.array(LineString(degrees_N2).simplify(TOLERANCE_DEGREES).coords)
        found.append(np.rint(simple * STEPS_PER_DEGREE).astype(np.int16))
    return found


def main(topojson: Annotated[Path, typer.Argument(help="countries-50m.json")]) -> None:
    """Write the file of borders."""
    lines = lines_of(json.loads(topojson.read_text("utf-8")))
    steps_N2 = np.concatenate([np.diff(line, axis=0, prepend=np.zeros((1, 2), np.int16)) for line in lines])
    np.savez_compressed(FILE, steps_N2=steps_N2, lengths=np.array([len(line) for line in lines], np.int32))
    print(f"wrote {FILE}: {len(lines)} lines, {len(steps_N2)} points, {FILE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    typer.run(main)
