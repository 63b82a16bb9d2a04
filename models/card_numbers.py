"""Numbers that the card of a checkpoint keeps under one key."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from core.errors import InputError


@dataclass(frozen=True)
class CardNumbers:
    """A frozen dataclass that goes into a card and comes back out of it."""

    def to_dict(self) -> dict[str, Any]:
        """The numbers, as a card keeps them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """From `to_dict`.

        Raises:
            InputError: a key that is none of these.
        """
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise InputError(f"{cls.__name__.lower()} with {', '.join(unknown)}; {', '.join(known)} were due")
        return cls(**values)
