"""A registry finds what was entered, once, and helps with a misspelt name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UnknownNameError
from core.registry import Registry


@given(names=st.lists(st.text(min_size=1), unique=True, max_size=8))
@settings(max_examples=30)
def test_everything_that_was_entered_is_found(names: list[str]) -> None:
    registry: Registry[int] = Registry("thing")
    for number, name in enumerate(names):
        assert registry.register(name)(number) == number
    assert registry.names() == sorted(names)
    assert list(registry.items()) == [(name, number) for number, name in enumerate(names)]
    assert len(registry) == len(names)
    for number, name in enumerate(names):
        assert name in registry
        assert registry.get(name) == number


def test_a_taken_name_is_refused_and_kept() -> None:
    registry: Registry[str] = Registry("cell")
    registry.register("convlstm")("first")
    with pytest.raises(ValueError, match="cell 'convlstm' is registered already, as 'first'"):
        registry.register("convlstm")
    assert registry.get("convlstm") == "first"


def test_unknown_names_get_a_hint() -> None:
    registry: Registry[int] = Registry("cell")
    for name in ("convlstm", "predrnn"):
        registry.register(name)(1)
    with pytest.raises(UnknownNameError, match=r"unknown cell 'convlstn'; did you mean convlstm\?"):
        registry.get("convlstn")
    with pytest.raises(UnknownNameError, match="unknown cell 'xyz'; there are: convlstm, predrnn"):
        registry.get("xyz")
    assert "xyz" not in registry


class _EntryPoint:
    def __init__(self, name, load):
        self.name, self.value, self.load = name, f"{name}.module", load


def test_plug_ins_of_other_packages_are_imported_once_at_the_first_reading(monkeypatch, caplog) -> None:
    registry: Registry[int] = Registry("cell", plug_ins="nowcast.cells")
    registry.register("ours")(1)
    calls = []

    def theirs():
        calls.append(registry.names())  # a plug-in may read the table that it is imported for
        registry.register("theirs")(2)

    def broken():
        raise ImportError("no such module")

    found = {"nowcast.cells": [_EntryPoint("broken", broken), _EntryPoint("theirs", theirs)]}
    monkeypatch.setattr("core.registry.entry_points", lambda group: found[group])
    assert calls == []
    assert registry.get("theirs") == 2
    assert registry.names() == ["ours", "theirs"]
    assert calls == [["ours"]]
    assert "plug-in broken of nowcast.cells (broken.module) is left out" in caplog.text
    assert "theirs" in registry
    assert len(registry) == 2


def test_a_registry_without_a_group_asks_for_no_plug_ins(monkeypatch) -> None:
    monkeypatch.setattr("core.registry.entry_points", lambda group: pytest.fail(f"asked for {group}"))
    registry: Registry[int] = Registry("cell")
    assert registry.names() == []
