"""The base of every response of the REST interface."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Out(BaseModel):
    """Base of every response: NaN and infinity are written as null."""

    model_config = ConfigDict(ser_json_inf_nan="null", frozen=True, from_attributes=True)

    @classmethod
    def of(cls, record: object, **computed: Any) -> Self:
        """Return the document of a record: its attributes of the same names, and the computed fields.

        Args:
            record: an object with attributes; nested records become nested documents.
            computed: fields that the record lacks, or has under another name or with another meaning.
        """
        names = (name for name in cls.model_fields if name not in computed and hasattr(record, name))
        return cls.model_validate({**{name: getattr(record, name) for name in names}, **computed})
