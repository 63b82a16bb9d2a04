"""A stored scan or forecast as ODIM_H5: `python -m ingest.export --input FILE.nc --out DIR_OR_FILE.h5`."""

from pathlib import Path
from typing import Annotated, Final

import typer

from core.errors import NowcastError
from core.files import write_bytes_atomically
from ingest.readers import read_frames
from ingest.writers.odim_h5 import QUANTUM_MMH, odim_bytes, odim_file_name

FILE_SUFFIXES: Final = (".h5", ".hdf5", ".hdf")


def export_odim(source: str | Path | bytes, out: str | Path, *, quantum_mmh: float = QUANTUM_MMH) -> list[Path]:
    """Write the frames of any file that ingest can read as ODIM_H5.

    Args:
        source: a stored scan, a forecast's NetCDF, or a radar file.
        out: a name ending in .h5, .hdf5 or .hdf is one file with a data set per frame; any other name is a folder for
            one file per frame, as DWD distributes them and pysteps needs them.
        quantum_mmh: rate of one count.

    Raises:
        InputError: a file without rain rates, or frames that do not fit into one file.
    """
    frames, out = read_frames(source), Path(out)
    if out.suffix.lower() in FILE_SUFFIXES:
        write_bytes_atomically(out, odim_bytes(frames, quantum_mmh=quantum_mmh))
        return [out]
    paths = []
    for frame in frames:
        paths.append(out / odim_file_name(frame))
        write_bytes_atomically(paths[-1], odim_bytes([frame], quantum_mmh=quantum_mmh))
    return paths


def main(
    source: Annotated[Path, typer.Option("--input", help="A stored scan or forecast (NetCDF), or any radar file.")],
    out: Annotated[Path, typer.Option(help="A folder for a file per frame, or one file NAME.h5 for all of them.")],
    quantum_mmh: Annotated[float, typer.Option(min=1e-6, help="Rates are rounded to it.")] = QUANTUM_MMH,
) -> None:
    """Write a stored scan or forecast as ODIM_H5, which wradlib and pysteps open."""
    try:
        paths = export_odim(source, out, quantum_mmh=quantum_mmh)
    except (NowcastError, OSError) as err:
        typer.echo(f"export: {err}", err=True)
        raise typer.Exit(1) from err
    typer.echo("\n".join(map(str, paths)))


if __name__ == "__main__":
    typer.run(main)
