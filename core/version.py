"""The version of the project that is installed."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

PACKAGE: Final = "ms-rnn-nowcast"


def project_version() -> str:
    """Return the version; "0" in a checkout that is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "0"
