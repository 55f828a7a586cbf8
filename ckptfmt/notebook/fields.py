"""Fields: a card for a plain value, which lists its fields."""

from __future__ import annotations

import reprlib
from typing import Any

from ckptfmt.notebook.card import Card, Table
from ckptfmt.text.printing import shape_text

MAX_LISTED = 8
"""Items of a field that is a list or a mapping."""


def fields_card(value: Any, kind: str, name: str = "") -> Card:  # noqa: ANN401  (a named tuple or a dataclass)
    """Return a card of the public fields of a named tuple or a dataclass, without those that are empty."""
    names = getattr(value, "_fields", None) or value.__dataclass_fields__
    shown = [(each, getattr(value, each)) for each in names if not each.startswith("_")]
    listed = [(each, held) for each, held in shown if held is not None and not _is_empty(held)]
    return Card(
        kind,
        name,
        parts=[
            Table("Fields", ("field", "value"), lambda: listed, lambda pair: (pair[0], brief(pair[1])), True)
        ],
    )


def brief(value: object) -> str:
    """Return a value in a few words, however much it holds."""
    return value if isinstance(value, str) else _BRIEF.repr(value)


def _is_empty(value: object) -> bool:
    return isinstance(value, str | bytes | tuple | list | dict) and not value


class _Brief(reprlib.Repr):
    """The ``repr`` of values, without most of what large ones hold.

    ``repr_X`` is called for values of a class named X.
    """

    def repr_DType(self, value: object, level: int) -> str:  # noqa: N802
        return str(value)

    def repr_ndarray(self, value: Any, level: int) -> str:  # noqa: ANN401  (an array)
        return f"{value.dtype}{shape_text(value.shape)}"


_BRIEF = _Brief()
_BRIEF.maxlevel = 3
_BRIEF.maxtuple = _BRIEF.maxlist = _BRIEF.maxdict = _BRIEF.maxset = _BRIEF.maxfrozenset = MAX_LISTED
_BRIEF.maxstring = _BRIEF.maxother = 120
