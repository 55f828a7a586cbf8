"""Series: the values of one tag, each with its step and wall time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, overload

import numpy as np

from ckptfmt.errors import NameNotFoundError
from ckptfmt.events.cards import series_card, tags_table
from ckptfmt.events.classify import noun_of
from ckptfmt.events.summary_metadata import SummaryMetadata
from ckptfmt.events.value_rows import Values
from ckptfmt.notebook.card import Card
from ckptfmt.notebook.completions import first_keys
from ckptfmt.notebook.page import to_html
from ckptfmt.text.closest import closest_names
from ckptfmt.text.quoting import listed

T = TypeVar("T")
S = TypeVar("S")


class Series(Sequence[T], Generic[T]):
    """The values of one tag, in the order in which they were written, each read on access."""

    def __init__(
        self, tag: str, metadata: SummaryMetadata, values: Values, read: Callable[[Values, int], T]
    ) -> None:
        self.tag = tag
        """The tag."""
        self.metadata = metadata
        """The metadata that the first value gives for all of them."""
        self.steps: np.ndarray = _frozen(values.steps)
        """Step of each value (int64)."""
        self.wall_times: np.ndarray = _frozen(values.wall_times)
        """When each value was written, in seconds since 1970 (float64)."""
        self._values = values
        self._read = read

    def __len__(self) -> int:
        return len(self.steps)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        """Return a value, or the list of a slice; CorruptError if one is damaged."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        return self._read(self._values, number)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.tag!r} of {len(self)}>"

    def _repr_html_(self) -> str:
        return to_html(lambda: series_card(self, type(self).__name__))


class Scalars(Series[float]):
    """The scalars of one tag as columns: ``steps``, ``wall_times`` and ``values``."""

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
        """The scalars: float32, as most are stored, or float64 if numbers of another dtype are among them."""

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

    def __init__(self, names: Iterable[str], make: Callable[[str], S], kind: str, file: str) -> None:
        self._names = dict.fromkeys(names)
        self._make = make
        self._kind = kind
        self._file = file

    def __getitem__(self, tag: str) -> S:
        """Return the series of a tag; NameNotFoundError, a KeyError, if no tag of this kind has the name."""
        if tag not in self._names:
            close = closest_names(tag, self._names)
            raise NameNotFoundError(tag, file=self._file, close_matches=close, noun=noun_of(self._kind))
        return self._make(tag)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<{len(self)} tags of {self._kind}: {listed(self._names, 5)}>"

    def _repr_html_(self) -> str:
        table = tags_table(self._kind.capitalize(), lambda: self)._replace(is_open=True)
        return to_html(lambda: Card("Tags", self._file, parts=[table]))

    def _ipython_key_completions_(self) -> list[str]:
        return first_keys(self)
