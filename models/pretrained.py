"""Modules with trained weights, by a folder, a shipped name or the id of a model hub."""

from importlib import import_module
from pathlib import Path

from torch import nn

from core.errors import InputError, UnavailableError
from models.checkpoint import CARD, SHIPPED, WEIGHTS, load_model, shipped


def from_pretrained(source: str | Path, *, revision: str | None = None) -> nn.Module:
    """Return the module of a checkpoint, float32, on the CPU, in evaluation mode.

    Args:
        source: a folder that a training or `save_model` wrote (or a run folder, whose `checkpoint` is taken), a shipped
            name (`default`), or OWNER/NAME of a repository of Hugging Face's hub that holds the two files of a
            checkpoint; that needs the package huggingface_hub.
        revision: branch, tag or commit of the repository; None is its main branch.

    Raises:
        InputError: no checkpoint there, or a revision of something that is no repository.
        UnavailableError: the hub could not be reached.
    """
    folder = Path(source)
    places = [folder, folder / "checkpoint", *([SHIPPED / str(source)] if str(source) in shipped() else [])]
    found = next((place for place in places if (place / CARD).is_file()), None)
    if found is not None:
        if revision is not None:
            raise InputError(f"revision: expected none for {found}, which is no repository, got {revision}")
        return load_model(found)
    if isinstance(source, str) and source.count("/") == 1 and not folder.exists():
        return load_model(_fetched(source, revision))
    raise InputError(
        f"source: expected a folder with {CARD} and {WEIGHTS}, one of {', '.join(shipped())}, or OWNER/NAME of a "
        f"repository, got {source}"
    )


def _fetched(repository: str, revision: str | None) -> Path:
    """Return the folder into which the hub's client has put the two files of a checkpoint."""
    try:
        hub = import_module("huggingface_hub")
    except ImportError as err:
        raise InputError(f"{repository}: expected a folder, or the package huggingface_hub for a repository") from err
    try:
        return Path(hub.snapshot_download(repository, revision=revision, allow_patterns=[CARD, WEIGHTS]))
    except Exception as err:  # of the client's own kinds, which differ between its versions
        raise UnavailableError(f"{repository}: not fetched: {' '.join(str(err).split())}") from err
