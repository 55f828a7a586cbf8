"""Series: the values under one tag, each with its step and when it was written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Generic, TypeVar, overload

import numpy as np

from ckptfmt.errors import NameNotFoundError
from ckptfmt.events.tag_table import SummaryMetadata, Values

T = TypeVar("T")
S = TypeVar("S")


class Series(Sequence[T], Generic[T]):
    """The values under one tag, in the order in which they were written; each is read when asked for."""

    def __init__(
        self, tag: str, metadata: SummaryMetadata, values: Values, read: Callable[[Values, int], T]
    ) -> None:
        self.tag = tag
        """The tag."""
        self.metadata = metadata
        """What its first value says of all of them."""
        self.steps: np.ndarray = _frozen(values.steps)
        """The step of each (int64)."""
        self.wall_times: np.ndarray = _frozen(values.wall_times)
        """When each was written, in seconds since 1970 (float64)."""
        self._values = values
        self._read = read

    def __len__(self) -> int:
        return len(self.steps)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        """Return a value, or those of a slice; CorruptError where it is damaged."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        return self._read(self._values, number)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.tag!r} of {len(self)}>"


class Scalars(Series[float]):
    """The scalars under one tag, as columns: ``steps``, ``wall_times`` and ``values``."""

    def __init__(
        self,
        tag: str,
        metadata: SummaryMetadata,
        values: Values,
        read: Callable[[Values, int], float],
        column: np.ndarray,
    ) -> None:
        super().__init__(tag, metadata, values, read)
        self.values: np.ndarray = _frozen(column)
        """The scalars: float32, as they are stored; float64 where another type of number is among them."""

    def __iter__(self) -> Iterator[float]:
        return iter(self.values.tolist())


def _frozen(array: np.ndarray) -> np.ndarray:
    if not array.flags.writeable:
        return array
    view: np.ndarray = array.view()
    view.flags.writeable = False
    return view


class Tags(Mapping[str, S], Generic[S]):
    """The series of one kind, by tag."""

    def __init__(self, names: Iterable[str], make: Callable[[str], S], noun: str, file: str) -> None:
        self._names = dict.fromkeys(names)
        self._make = make
        self._noun = noun
        self._file = file

    def __getitem__(self, tag: str) -> S:
        """Return the series of a tag; NameNotFoundError, a KeyError, where there is none of this kind."""
        if tag not in self._names:
            close = get_close_matches(tag, self._names, 3)
            raise NameNotFoundError(tag, file=self._file, close_matches=close, noun=self._noun)
        return self._make(tag)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, list(self._names)[:5])) + ", …" * (len(self) > 5)
        return f"<{len(self)} tags of {self._noun}: {shown}>"
