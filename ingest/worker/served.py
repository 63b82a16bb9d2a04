"""The models that need ready windows, read from the checkpoints' JSON files without torch."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from core.cells import CellEdges, edges_of_card
from core.errors import InputError
from core.shared_files import follow
from ingest.store.ready import ServedModel

INSTALLED: Final = Path(__file__).resolve().parents[2] / "models" / "weights"
WINDOW: Final = "window_minutes"
"""Key of the card of a model of any scale: it takes the scans themselves, and has no ready window."""

FOLLOWED_EVERY_S: Final = 10.0
"""How often models that were added on another machine are looked for."""

log = logging.getLogger(__name__)


def served_models(folder: Path = INSTALLED, added: Path | None = None) -> list[ServedModel]:
    """Return the models with ready windows of a folder of checkpoints (`NAME/model.json`); invalid ones are logged.

    Args:
        folder: folder of the checkpoints.
        added: folder of an operator's checkpoints (`NAME/VERSION/model.json`): those that `aliases.json` refers to and
            whose windows differ from all before them are added.
    """
    if added is not None:
        follow(added, FOLLOWED_EVERY_S)
    paths = {path.parent.name: path for path in sorted(folder.glob("*/model.json"))}
    found: list[ServedModel] = []
    for name, path in (paths | _aliased(added)).items():
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            if card.get(WINDOW):
                continue
            model = _served(name, card)
        except (OSError, KeyError, TypeError, ValueError, AttributeError, InputError) as err:
            log.warning("no windows for %s: %s: %s", name, type(err).__name__, err)
            continue
        if name in paths or all(_wanted(model) != _wanted(other) for other in found):
            found.append(model)
    return found


def _aliased(added: Path | None) -> dict[str, Path]:
    """Return the cards that aliases refer to, by NAME@VERSION."""
    try:
        aliases = json.loads((added / "aliases.json").read_text()).values() if added else ()
        cards = {f"{one['name']}@{one['version']}": (one["name"], one["version"]) for one in aliases}
    except FileNotFoundError:
        return {}
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as err:
        log.warning("no windows for aliases: %s: %s", type(err).__name__, err)
        return {}
    paths = {name: (added or Path()) / model / version / "model.json" for name, (model, version) in cards.items()}
    return {name: path for name, path in paths.items() if path.is_file()}


def _wanted(model: ServedModel) -> tuple[float | CellEdges, int, int]:
    return model.pixel_m, model.cadence_minutes, model.steps


def _served(name: str, card: Mapping[str, Any]) -> ServedModel:
    model = ServedModel(
        name=name,
        pixel_m=edges_of_card(card) or float(card["pixel_m"]),
        cadence_minutes=int(card["cadence_minutes"]),
        steps=int(card["input_steps"]),
    )
    sized = isinstance(model.pixel_m, CellEdges) or model.pixel_m > 0
    if not (sized and model.cadence_minutes > 0 and model.steps > 0):
        raise ValueError(f"expected positive numbers, got {model}")
    return model
