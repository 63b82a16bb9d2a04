"""The settings of archives, `archive.yaml`: addresses of the data sets, and the metadata of an archive."""

from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import ConfigError

PACKAGE = "ms-rnn-nowcast"


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProductText(_Checked):
    """The metadata of an archive of one product."""

    identifier: str
    title: str
    institution: str
    license: str = Field(description="SPDX identifier")
    source: str


class ListedFolder(_Checked):
    """A folder of a listing, and the files in it that belong to a data set."""

    folder: str
    pattern: str
    format: str
    withdrawn: tuple[int, ...] = Field((), description="years of which no file of this folder is used")


class ListedFiles(_Checked):
    """Files of DWD's open-data tree, found in its listings."""

    kind: Literal["listing"]
    root: str
    places: tuple[ListedFolder, ...]


class RecordFiles(_Checked):
    """Files of a Zenodo record, with sizes and checksums from its interface."""

    kind: Literal["record"]
    root: str
    files: tuple[str, ...]


class ZarrStore(_Checked):
    """A public Zarr store, object by object."""

    kind: Literal["zarr"]
    root: str


Remote = Annotated[ListedFiles | RecordFiles | ZarrStore, Field(discriminator="kind")]


class FetchSettings(_Checked):
    """The addresses of the data sets."""

    user_agent: str
    radolan_ry: Remote = Field(alias="radolan-ry")
    radolan_yw: Remote = Field(alias="radolan-yw")
    radklim_yw: Remote = Field(alias="radklim-yw")
    radklim_yw_netcdf: Remote = Field(alias="radklim-yw-netcdf")
    rydl: Remote
    mlcast_radklim: Remote = Field(alias="mlcast-radklim")

    def remote(self, dataset: str) -> ListedFiles | RecordFiles | ZarrStore:
        """Return the address of a data set by its name on the command line."""
        found: ListedFiles | RecordFiles | ZarrStore = getattr(self, dataset.replace("-", "_"))
        return found


class ArchiveSettings(_Checked):
    """The whole content of `archive.yaml`."""

    created_by: str
    created_with: str
    dataset_version: str
    validator_version: str
    products: dict[str, ProductText]
    fetch: FetchSettings

    def text(self, product: str) -> ProductText:
        """Return the metadata of an archive of the product."""
        return self.products.get(product, self.products["other"])


def archive_settings(override: str | Path | None = None) -> ArchiveSettings:
    """Return the settings of the package, overridden key by key by those of a file.

    Raises:
        ConfigError: the file does not exist, is not YAML, or has an unknown key or a wrong value.
    """
    values = yaml.safe_load(files("ingest.archive").joinpath("archive.yaml").read_text(encoding="utf-8"))
    if override is not None:
        try:
            values = _merged(values, yaml.safe_load(Path(override).read_text(encoding="utf-8")) or {})
        except (OSError, yaml.YAMLError) as err:
            raise ConfigError(f"settings {override}: expected a readable YAML file, got {err}") from err
    try:
        return ArchiveSettings.model_validate(values)
    except ValidationError as err:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in err.errors())
        raise ConfigError(f"settings {override or 'archive.yaml'}: {problems}") from err


def program_version() -> str:
    """Return the version of this program, 0 if it is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "0"


def _merged(values: Any, over: Any) -> Any:
    if isinstance(values, dict) and isinstance(over, dict):
        return {key: _merged(values.get(key), over[key]) if key in over else values[key] for key in {**values, **over}}
    return over
