"""Models by name, version and alias: checkpoint folders on disk, and one small file of aliases.

`NOWCAST_HOME/models/NAME/VERSION/` holds the checkpoints that an operator added to those shipped with the package;
`NOWCAST_HOME/models/aliases.json` holds the aliases. Every look-up checks that file's modification time first, so that
a switch reaches every process with its next request or task.
"""

import json
import logging
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from core.errors import ConflictError, InputError, NowcastError, UnavailableError, UnknownNameError, shown
from core.registry import Registry
from core.shared_files import follow, publish, write_shared
from core.times import iso
from ingest.store.locks import translate_os_errors, write_lock
from ingest.worker.served import INSTALLED
from verification.baselines import BASELINES

FOLDER: Final = "models"
ALIASES: Final = "aliases.json"
DEFAULT: Final = "default"
FOLLOWED_EVERY_S: Final = 2.0
"""How often models and aliases are looked up that another machine has set."""

PAST_KEPT: Final = 20
BASELINE_VERSION: Final = "1"
log = logging.getLogger(__name__)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


@dataclass(frozen=True)
class ModelVersion:
    """One version of one model; `folder` is None for a baseline."""

    name: str
    version: str
    folder: Path | None
    added_at: datetime | None = None

    @property
    def reference(self) -> str:
        """Return the text that means this version and no other."""
        return self.name if self.folder is None else f"{self.name}@{self.version}"

    @property
    def card(self) -> Mapping[str, Any]:
        """Return the JSON of the checkpoint, or the error of reading it."""
        if self.folder is None:
            return {}
        try:
            return dict(json.loads((self.folder / "model.json").read_text()))
        except (OSError, ValueError) as err:
            return {"error": f"{type(err).__name__}: {err}"}


@dataclass(frozen=True)
class Alias:
    """A name for a version.

    Attributes:
        since: when it was set.
        before: previous targets (NAME@VERSION), oldest first.
    """

    alias: str
    name: str
    version: str
    since: str
    before: tuple[str, ...] = ()


class ModelRegistry:
    """The models of a live store; safe to use from several threads and processes.

    Args:
        home: the live store; None: the models shipped with the package only.
        also: checkpoint folders that the operator named in a setting; a request cannot name one.
    """

    def __init__(self, home: Path | None, also: Sequence[str] = (), shipped: Path = INSTALLED) -> None:
        self._home = home.resolve() if home else None
        self._also = {text for text in also if Path(text).parent != Path()}
        self._shipped = shipped
        self._read: tuple[tuple[int, int], dict[str, Alias]] | None = None

    def resolve(self, name: str) -> str:
        """Return the reference that a name, an alias or a reference means now.

        Raises:
            UnknownNameError: no model has that name; the message lists similar ones.
        """
        return name if name in self._also else self.find(name).reference

    def find(self, name: str) -> ModelVersion:
        """Return the version that a name, an alias or a reference means now.

        Raises:
            UnknownNameError: no model has that name; the message lists similar ones.
        """
        if name in self._also:
            folder = Path(name)
            return ModelVersion(folder.parent.name if folder.name == "checkpoint" else folder.name, "", folder)
        if name in BASELINES:
            return ModelVersion(name, BASELINE_VERSION, None)
        if alias := self.aliases().get(name):
            return self.version(alias.name, alias.version)
        model, _, version = name.partition("@")
        if version:
            return self.version(model, version)
        shipped, added = self._shipped_version(name), self._added(name)
        if shipped or added:
            return shipped or added[-1]
        known: Registry[None] = Registry("model")
        for other in self.names():
            known.register(other)(None)
        known.get(name)
        raise UnknownNameError(f"unknown model {name!r}")

    def version(self, name: str, version: str) -> ModelVersion:
        """Return one version of a model.

        Raises:
            UnknownNameError: the model has no such version.
        """
        found = [one for one in self.versions(name) if one.version == version]
        if not found:
            known = ", ".join(one.reference for one in self.versions(name) or self.versions())
            raise UnknownNameError(f"unknown model {name}@{version}; there are: {known}")
        return found[-1]

    def versions(self, name: str | None = None) -> list[ModelVersion]:
        """Return all versions, or those of one model; shipped ones first, then in the order of addition."""
        if name is None:
            return [one for each in self._models() for one in self.versions(each)]
        if name in BASELINES:
            return [ModelVersion(name, BASELINE_VERSION, None)]
        shipped = self._shipped_version(name)
        return [*([shipped] if shipped else []), *self._added(name)]

    def names(self) -> list[str]:
        """Return the names that a request may use besides `NAME@VERSION`: models, baselines and aliases."""
        return sorted({*self._models(), *self.aliases()})

    def aliases(self) -> Mapping[str, Alias]:
        """Return the aliases; the file is read again only after a change."""
        if self._home is None:
            return {}
        path = self._home / FOLDER / ALIASES
        follow(path.parent, FOLLOWED_EVERY_S)
        try:
            stamp = path.stat()
        except OSError:
            return {}
        key = stamp.st_mtime_ns, stamp.st_ino
        if self._read is None or self._read[0] != key:
            try:
                self._read = key, _aliases(path)
            except UnavailableError as err:
                if self._read is None:
                    raise
                log.error("%s; the previous aliases stay", err)
                self._read = key, self._read[1]
        return self._read[1]

    def add(self, folder: str | Path, name: str, check: Callable[[Path], str]) -> ModelVersion:
        """Copy a checkpoint into the live store; adding the same one again changes nothing.

        Args:
            folder: with `model.json` and its weights.
            name: of the model.
            check: loads the copy and returns its version; whatever it raises refuses the checkpoint.

        Raises:
            ConflictError: another checkpoint has that name and version.
            InputError: an invalid name, or the error that `check` raises.
        """
        folder = Path(folder)
        home = self._writable()
        models = home / FOLDER / _valid(name, "model")
        with translate_os_errors(home):
            models.mkdir(parents=True, exist_ok=True)
            part = Path(mkdtemp(prefix=".part-", dir=models))
        try:
            with translate_os_errors(home):
                for file in sorted(folder.glob("model.*")):
                    shutil.copy2(file, part / file.name)
            version = _valid(check(part), "version")
            with write_lock(home), translate_os_errors(home):
                follow(home / FOLDER, 0.0)
                for known in self.versions(name):
                    if known.version == version:
                        return self._same(known, part)
                for file in sorted(part.iterdir(), key=lambda file: file.suffix == ".json"):
                    publish(models / version / file.name, file.read_bytes())
                part.chmod(0o755)
                part.rename(models / version)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return self.version(name, version)

    def set_alias(self, alias: str, target: ModelVersion) -> Alias:
        """Set the version that an alias means from now on, in every process; the caller has checked that it runs.

        Raises:
            InputError: a baseline's name, or an invalid one.
        """
        home = self._writable()
        if alias in BASELINES:
            raise InputError(f"alias: expected a name that is not a baseline's, got {shown(alias)}")
        with write_lock(home):
            follow(home / FOLDER, 0.0)  # what another machine has set a moment ago stays
            aliases = dict(self.aliases())
            known = aliases.get(_valid(alias, "alias"))
            before = self._meaning(alias)
            if known and before == (target.reference,):
                return known
            past = (*(known.before if known else ()), *before)[-PAST_KEPT:]
            aliases[alias] = Alias(alias, target.name, target.version, iso(datetime.now(UTC)), past)
            content = json.dumps({name: asdict(one) for name, one in sorted(aliases.items())}, indent=1)
            with translate_os_errors(home):
                write_shared(home / FOLDER / ALIASES, content.encode())
        return aliases[alias]

    def _meaning(self, alias: str) -> tuple[str, ...]:
        """Return the reference that an alias or a model's name means now, if any."""
        try:
            return (self.resolve(alias),)
        except UnknownNameError:
            return ()

    def _writable(self) -> Path:
        if self._home is None:
            raise InputError("this registry has no live store: set NOWCAST_HOME")
        return self._home

    def _same(self, known: ModelVersion, part: Path) -> ModelVersion:
        sha256 = json.loads((part / "model.json").read_text())["sha256"]
        if known.card.get("sha256") != sha256:
            raise ConflictError(
                f"{known.reference} exists with weights of sha256 {known.card.get('sha256')}: expected another version "
                f"for other weights, got sha256 {sha256}"
            )
        return known

    def _models(self) -> list[str]:
        shipped = {path.parent.name for path in self._shipped.glob("*/model.json")}
        added = {path.parent.parent.name for path in self._cards("*")}
        return sorted({*shipped, *added, *BASELINES})

    def _shipped_version(self, name: str) -> ModelVersion | None:
        folder = self._shipped / name
        if not _NAME.fullmatch(name) or not (folder / "model.json").is_file():
            return None
        return ModelVersion(name, str(ModelVersion(name, "", folder).card.get("version", "unreadable")), folder)

    def _added(self, name: str) -> list[ModelVersion]:
        if not _NAME.fullmatch(name):
            return []
        found = [(card.parent.stat().st_ctime, card.parent) for card in self._cards(name)]
        return [
            ModelVersion(name, folder.name, folder, datetime.fromtimestamp(at, UTC)) for at, folder in sorted(found)
        ]

    def _cards(self, name: str) -> list[Path]:
        if self._home is None:
            return []
        follow(self._home / FOLDER, FOLLOWED_EVERY_S)
        return [path for path in (self._home / FOLDER).glob(f"{name}/*/model.json") if path.parent.name[0] != "."]


def _aliases(path: Path) -> dict[str, Alias]:
    try:
        aliases = json.loads(path.read_text())
        return {name: Alias(**{**one, "before": tuple(one["before"])}) for name, one in aliases.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as err:
        text = f"the aliases in {FOLDER}/{ALIASES} are not readable"
        raise UnavailableError(text, private=f"{type(err).__name__}: {err}") from err


def _valid(text: str, what: str) -> str:
    if not _NAME.fullmatch(text):
        raise InputError(f"{what}: expected letters, digits and . _ + -, a letter or digit first, got {shown(text)}")
    return text


def refused(reference: str, err: NowcastError) -> InputError:
    """Return the error for a version that does not load or run."""
    return InputError(f"{reference} is refused, no alias was changed: {err}")
