"""docker-compose.yml as Compose reads it: merged, and with the variables of `.env` in their places."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.environments import ROOT

VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\})")


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """A text of the file with its variables: `${NAME:-default}`; `$$` is a dollar."""

    def found(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        default = match["default"]
        return variables[match["name"]] if default is None else variables.get(match["name"]) or default

    return VARIABLE.sub(found, text)


def compose(variables: Mapping[str, str] = {}) -> dict[str, Any]:
    """The whole file, with every variable in its place; a variable without a value is not there."""
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    whole: dict[str, Any] = _filled(document, variables)
    for service in whole["services"].values():
        environment = {name: variables.get(name) if one is None else one for name, one in _environment(service)}
        service["environment"] = {name: one for name, one in environment.items() if one is not None}
    return whole


def _environment(service: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    return list(service.get("environment", {}).items())


def _filled(tree: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(tree, dict):
        return {name: _filled(part, variables) for name, part in tree.items()}
    if isinstance(tree, list):
        return [_filled(part, variables) for part in tree]
    return interpolated(tree, variables) if isinstance(tree, str) else tree
