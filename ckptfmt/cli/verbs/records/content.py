"""What a record holds: an example, an event, or other bytes; and its features, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ckptfmt import SequenceExample
from ckptfmt.cli.render.values import quote
from ckptfmt.errors import CorruptError
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.record.batch import Record

EXAMPLE = "Example"
SEQUENCE = "SequenceExample"
EVENT = "Event"
BYTES = "bytes"
"""Kinds of records."""

SHOWN_VALUES = 6
"""Values of a feature that are shown, unless the user asks for all."""
SHOWN_CHARACTERS = 40
"""Characters of a string that are shown, unless the user asks for all."""

_DTYPES = {"O": "string", "b": "-"}

_TIME, _FEATURES, _LISTS = 0x09, 0x0A, 0x12
"""First bytes of records: the tags of an event's time, an example's features and feature lists."""


@dataclass(frozen=True)
class Feature:
    """The values of one feature, or of one step of a feature list."""

    name: str
    step: int | None
    """None if it is not in a list."""
    values: np.ndarray[Any, Any]

    @property
    def title(self) -> str:
        """Its name, and its step in brackets."""
        return self.name if self.step is None else f"{self.name}[{self.step}]"


@dataclass(frozen=True)
class Content:
    """What a record holds."""

    kind: str
    example: SequenceExample | None = None
    """The features, if it is an example of either kind."""

    def select(self, matches: Callable[[str], object]) -> Content:
        """Return the same without the features whose names do not match."""
        if self.example is None:
            return self
        context, lists = self.example
        example = SequenceExample(
            {name: values for name, values in context.items() if matches(name)},
            {name: steps for name, steps in lists.items() if matches(name)},
        )
        return replace(self, example=example)

    def features(self) -> Iterator[Feature]:
        """Iterate over all features, those of lists last."""
        if self.example is not None:
            for name, values in self.example.context.items():
                yield Feature(name, None, values)
            for name, steps in self.example.feature_lists.items():
                for step, values in enumerate(steps):
                    yield Feature(name, step, values)


def content_of(record: Record) -> Content:
    """Return what a record holds, judging by its bytes."""
    data = record.view
    first = data[0] if len(data) else 0
    try:
        if first == _TIME:
            parse_message(messages.Event, data, None)
            return Content(EVENT)
        if first in (_FEATURES, _LISTS):
            # An Example is one without lists. Any field may be an unknown one, so the first byte must fit.
            example = record.sequence_example()
            return Content(SEQUENCE if example.feature_lists or first == _LISTS else EXAMPLE, example)
    except CorruptError:
        pass
    return Content(BYTES)


def dtype_text(values: np.ndarray[Any, Any]) -> str:
    """Return the dtype of a feature, ``-`` if it has no list of values."""
    return _DTYPES.get(values.dtype.kind, str(values.dtype))


def values_text(values: np.ndarray[Any, Any], *, all_of_them: bool = False) -> str:
    """Return values on one line: the first few, shortened, or all of them."""
    shown = values if all_of_them else values[:SHOWN_VALUES]
    characters = None if all_of_them else SHOWN_CHARACTERS
    texts: list[str]
    if values.dtype == object:
        texts = [quote(value, characters) for value in shown.tolist()]
    elif values.dtype.kind == "f":
        texts = list(map(str, shown))  # the shortest digits that give the same float32
    else:
        texts = [str(value) for value in shown.tolist()]
    return " ".join([*texts, *(["…"] if len(shown) < len(values) else [])])
