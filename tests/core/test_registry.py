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
