"""The table of real radar events: spells of weather with their files, kind of rate, role in a split, and folds."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import cached_property
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from core.errors import ConfigError
from core.records import UtcTime

LEAST_PAUSE: Final = timedelta(days=1)
"""Pause between two spells; events that follow each other sooner are one spell."""
Role = Literal["train", "unseen"]
Rates = Literal["surface", "column maximum", "fixed relation"]
"""What rates stand for: rain at the ground, reflectivity of the whole column, or of one height by a fixed relation."""


class EventSource(BaseModel):
    """What the files of one radar network have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rates: Rates
    method: str
    licence: str
    attribution: str


class SpellEntry(BaseModel):
    """One spell of weather as the table file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: str
    source: str
    role: Role
    files: dict[str, tuple[UtcTime, UtcTime]]
    note: str = ""

    @model_validator(mode="after")
    def _times_are_in_order(self) -> Self:
        if backwards := [name for name, (first, last) in self.files.items() if last < first]:
            raise ValueError(f"expected the first time before the last, got {', '.join(backwards)}")
        return self


@dataclass(frozen=True)
class Spell:
    """One spell of weather: it is on one side of every split.

    Attributes:
        name: country and first day, such as "de-2018-07-11".
        files: times of the first and the last scan by file name.
        role: "train" may be trained on (and left out by a fold), "unseen" is for tests and scores only.
    """

    name: str
    region: str
    source: EventSource
    role: Role
    files: Mapping[str, tuple[datetime, datetime]] = field(hash=False)
    note: str = ""

    @property
    def rates(self) -> Rates:
        """Return the kind of rates in its files; kinds are not on one scale."""
        return self.source.rates

    @property
    def licence(self) -> str:
        """Return the licence of its files."""
        return self.source.licence

    @property
    def attribution(self) -> str:
        """Return the words that name the owner of its files."""
        return self.source.attribution

    @property
    def fold(self) -> str | None:
        """Return the name of the fold that leaves this spell out; None for an unseen one, which no fold trains on."""
        return self.name if self.role == "train" else None

    @property
    def first(self) -> datetime:
        """Return the time of its first scan."""
        return min(first for first, _ in self.files.values())

    @property
    def last(self) -> datetime:
        """Return the time of its last scan."""
        return max(last for _, last in self.files.values())


@dataclass(frozen=True)
class EventFold:
    """A split that leaves one spell out: it is scored, all other spells that may be trained on are trained on."""

    name: str
    held_out: Spell
    trained: tuple[Spell, ...]


@dataclass(frozen=True)
class FolderCheck:
    """How a folder differs from the table: files of the table that it lacks, and NetCDF files that no spell names."""

    missing: tuple[str, ...]
    unknown: tuple[str, ...]


class EventTable:
    """All spells in the order of time.

    Raises:
        ConfigError: a name or file twice, a spell without files, or two spells less than `LEAST_PAUSE` apart.
    """

    def __init__(self, spells: Iterable[Spell]) -> None:
        spells = tuple(spells)
        if empty := [spell.name for spell in spells if not spell.files]:
            raise ConfigError(f"event table: expected at least one file in each spell, got none in {', '.join(empty)}")
        _refuse_repeated("spell", [spell.name for spell in spells])
        _refuse_repeated("file", [name for spell in spells for name in spell.files])
        self._spells = tuple(sorted(spells, key=lambda spell: (spell.first, spell.name)))
        for one, other in combinations(self._spells, 2):
            pause = other.first - one.last
            if pause < LEAST_PAUSE:
                raise ConfigError(
                    f"event table: expected a pause of {LEAST_PAUSE} between two spells, got {pause} from {one.name} "
                    f"to {other.name}; merge them into one spell"
                )

    def spells(self, role: Role | None = None) -> tuple[Spell, ...]:
        """Return the spells of a role in the order of time; None returns all."""
        return tuple(spell for spell in self._spells if role in (None, spell.role))

    def spell(self, name: str) -> Spell:
        """Return a spell by its name.

        Raises:
            ConfigError: no spell has that name; the message lists similar names.
        """
        for spell in self._spells:
            if spell.name == name:
                return spell
        names = [spell.name for spell in self._spells]
        near = get_close_matches(name, names, n=3, cutoff=0.5) or names
        raise ConfigError(f"unknown spell {name!r}; expected one of the event table, such as {', '.join(near)}")

    def spell_of(self, file: str | Path) -> Spell:
        """Return the spell of a file, by its name alone.

        Raises:
            ConfigError: no spell has that file.
        """
        name = Path(file).name
        if name not in self._by_file:
            near = get_close_matches(name, self._by_file, n=3, cutoff=0.5)
            hint = f"; did you mean {', '.join(near)}" if near else ""
            raise ConfigError(f"{name}: expected a file of the event table, got an unknown name{hint}")
        return self._by_file[name]

    def folds(self) -> tuple[EventFold, ...]:
        """Return the folds that leave one spell out: every spell that may be trained on is left out once."""
        trained = self.spells("train")
        return tuple(
            EventFold(spell.name, spell, tuple(one for one in trained if one is not spell)) for spell in trained
        )

    def fold(self, name: str) -> EventFold:
        """Return a fold by the name of the spell that it leaves out.

        Raises:
            ConfigError: no such spell, or one with the role "unseen".
        """
        held_out = self.spell(name)
        if held_out.fold is None:
            raise ConfigError(f"fold: expected a spell with the role train, got {name}, whose role is {held_out.role}")
        return next(fold for fold in self.folds() if fold.held_out is held_out)

    def check(self, folder: str | Path) -> FolderCheck:
        """Compare the NetCDF files of a folder with the table.

        Raises:
            ConfigError: the folder does not exist.
        """
        if not Path(folder).is_dir():
            raise ConfigError(f"expected a folder of event files, got {folder}")
        there = {path.name for path in Path(folder).glob("*.nc")}
        return FolderCheck(
            missing=tuple(name for name in self._by_file if name not in there),
            unknown=tuple(sorted(there.difference(self._by_file))),
        )

    @cached_property
    def _by_file(self) -> dict[str, Spell]:
        return {name: spell for spell in self._spells for name in spell.files}


def load_table(path: str | Path | None = None) -> EventTable:
    """Return the table of the package, or of another YAML file in the same layout.

    Raises:
        ConfigError: the file is not readable or not such a table, or breaks a rule of `EventTable`.
    """
    content = files("training.datasets").joinpath("events.yaml") if path is None else Path(path)
    try:
        values: Any = yaml.safe_load(content.read_text("utf-8"))
        sources = TypeAdapter(dict[str, EventSource]).validate_python(values["sources"])
        entries = TypeAdapter(dict[str, SpellEntry]).validate_python(values["spells"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as err:
        raise ConfigError(
            f"event table {path or 'events.yaml'}: expected sources and spells in YAML, got {err}"
        ) from err
    except ValidationError as err:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in err.errors())
        raise ConfigError(f"event table {path or 'events.yaml'}: {problems}") from err
    if unknown := sorted({entry.source for entry in entries.values()} - set(sources)):
        raise ConfigError(f"event table: expected sources that it describes, got {', '.join(unknown)}")
    return EventTable(
        Spell(name, one.region, sources[one.source], one.role, one.files, one.note) for name, one in entries.items()
    )


def _refuse_repeated(what: str, names: list[str]) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ConfigError(f"event table: expected every {what} once, got {', '.join(twice)} more than once")
