"""Which models ingest keeps windows ready for: read from the checkpoints' JSON files, without torch."""

import json
import logging
from pathlib import Path
from typing import Final

from ingest.ready import ServedModel

INSTALLED: Final = Path(__file__).resolve().parents[1] / "models" / "weights"
log = logging.getLogger(__name__)


def served_models(folder: Path = INSTALLED) -> list[ServedModel]:
    """The models of a folder of checkpoints (`NAME/model.json`); one that cannot be used is named and left out."""
    found = []
    for path in sorted(folder.glob("*/model.json")):
        try:
            found.append(_served(path))
        except (OSError, KeyError, TypeError, ValueError) as err:
            log.warning("no windows for %s: %s: %s", path.parent.name, type(err).__name__, err)
    return found


def _served(path: Path) -> ServedModel:
    card = json.loads(path.read_text(encoding="utf-8"))
    model = ServedModel(
        name=path.parent.name,
        pixel_m=float(card["pixel_m"]),
        cadence_minutes=int(card["cadence_minutes"]),
        steps=int(card["input_steps"]),
    )
    if not (model.pixel_m > 0 and model.cadence_minutes > 0 and model.steps > 0):
        raise ValueError(f"{model}; positive numbers were due")
    return model
