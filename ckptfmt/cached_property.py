"""Cached properties without locks.

Until Python 3.12, ``functools.cached_property`` holds a lock of the class, not of the object, while it
computes a value. So two checkpoints wait for each other, and a process that is forked meanwhile waits
forever: the thread that holds the lock does not exist there. Without a lock, two threads may both compute a
value; one is kept.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 12):
    from functools import cached_property
else:
    from collections.abc import Callable
    from typing import Any, Generic, TypeVar, overload

    _T = TypeVar("_T")
    _C = TypeVar("_C")

    class cached_property(Generic[_T]):  # noqa: N801  (named as in functools)
        """A property whose value is computed once and kept in the object's ``__dict__``."""

        def __init__(self, compute: Callable[[Any], _T]) -> None:
            self.func = compute
            self.attrname = compute.__name__
            self.__doc__ = compute.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self.attrname = name

        @overload
        def __get__(self, instance: None, owner: type[_C]) -> cached_property[_T]: ...
        @overload
        def __get__(self, instance: object, owner: type | None = None) -> _T: ...
        def __get__(self, instance: object | None, owner: type | None = None) -> cached_property[_T] | _T:
            if instance is None:
                return self
            # Only reached while the object has no value: its __dict__ comes first, since this has no __set__.
            value = self.func(instance)
            return instance.__dict__.setdefault(self.attrname, value)  # type: ignore[no-any-return]


__all__ = ["cached_property"]
