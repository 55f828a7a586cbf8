"""Transactions: what is written whole, or not at all."""

from __future__ import annotations

from abc import abstractmethod
from types import TracebackType
from typing import Protocol, TypeVar

_T = TypeVar("_T", bound="Transaction")


class Transaction(Protocol):
    """Something being written; a context manager that commits it, or discards it after an exception."""

    @abstractmethod
    def commit(self) -> None:
        """Finish it, so that it appears whole."""

    @abstractmethod
    def discard(self) -> None:
        """Leave what was there before; does nothing after :meth:`commit`."""

    def __enter__(self: _T) -> _T:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()
