"""The metadata of a Zarr store of version 2 or 3, as far as copying its chunks needs them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import UnavailableError


@dataclass(frozen=True)
class ArrayLayout:
    """The layout of one array.

    Attributes:
        chunks: shape of the values in one object.
        dims: names of its dimensions.
        prefix, separator: of an object's name: `NAME/PREFIX0SEPARATOR0`.
        metadata: values by file name within the array's folder.
    """

    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dims: tuple[str, ...]
    prefix: str
    separator: str
    metadata: Mapping[str, Any]

    @property
    def is_field(self) -> bool:
        """Return whether the array has a field for each time."""
        return len(self.dims) >= 3 and self.dims[0] == "time"

    def key(self, chunk: Sequence[int]) -> str:
        """Return the path of a chunk's object below the store."""
        numbers = self.separator.join(map(str, chunk))
        if not chunk:
            return f"{self.name}/{'c' if self.prefix else '0'}"
        return f"{self.name}/{self.prefix}{numbers}"

    def metadata_files(self, length: int) -> dict[str, Any]:
        """Return the array's metadata with another number of times."""
        with_shape = {
            path: {**values, "shape": [length, *self.shape[1:]]} if "shape" in values else values
            for path, values in self.metadata.items()
        }
        return {f"{self.name}/{path}": values for path, values in with_shape.items()}


@dataclass(frozen=True)
class ZarrLayout:
    """The layout of a store: its arrays, and all metadata files by their path."""

    zarr_format: int
    arrays: tuple[ArrayLayout, ...]
    files: Mapping[str, Any]


def parse_metadata(content: bytes, name: str, root: str) -> ZarrLayout:
    """Return the layout that consolidated metadata describe.

    Raises:
        UnavailableError: not JSON, or not consolidated.
    """
    try:
        values = json.loads(content)
        return _version_2(values) if name == ".zmetadata" else _version_3(values)
    except (ValueError, KeyError, TypeError) as err:
        raise UnavailableError(f"{root}/{name}: expected consolidated metadata of a Zarr store, got {err!r}") from err


def _version_2(values: Mapping[str, Any]) -> ZarrLayout:
    files = dict(values["metadata"])
    arrays = []
    for path in files:
        name, _, kind = path.rpartition("/")
        if kind == ".zarray":
            about, attributes = files[path], files.get(f"{name}/.zattrs", {})
            arrays.append(
                ArrayLayout(
                    name,
                    tuple(about["shape"]),
                    tuple(about["chunks"]),
                    tuple(attributes["_ARRAY_DIMENSIONS"]),
                    "",
                    about.get("dimension_separator", "."),
                    {".zarray": about, ".zattrs": attributes},
                )
            )
    return ZarrLayout(2, tuple(arrays), files)


def _version_3(values: Mapping[str, Any]) -> ZarrLayout:
    nodes = values["consolidated_metadata"]["metadata"]
    files = {"zarr.json": {key: value for key, value in values.items() if key != "consolidated_metadata"}}
    arrays = []
    for name, about in nodes.items():
        files[f"{name}/zarr.json"] = about
        if about["node_type"] == "array":
            naming = about["chunk_key_encoding"]
            plain = naming["name"] == "v2"
            separator = naming.get("configuration", {}).get("separator", "." if plain else "/")
            chunks = tuple(about["chunk_grid"]["configuration"]["chunk_shape"])
            prefix = "" if plain else f"c{separator}"
            dims = tuple(about.get("dimension_names") or ())
            arrays.append(
                ArrayLayout(name, tuple(about["shape"]), chunks, dims, prefix, separator, {"zarr.json": about})
            )
    return ZarrLayout(3, tuple(arrays), files)
