"""Sizes: shapes in which sizes have names, as in ``["h", "w", "i", "m"]`` and ``["i*m", 1, "h", "w"]``.

A step has such a shape to say which tensors it takes (``shaped``), and others made of the same names to say
what it makes of them. A size is a number, a name, or a product of these. Each name stands for one size, the
same wherever it occurs, so ``["u", "4*u"]`` matches the shape ``[16, 64]`` but not ``[16, 48]``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ckptfmt.arrays.shape import Shape
from ckptfmt.cached_property import cached_property

Size: TypeAlias = "int | str"
"""A number, or text: a name, or a product such as ``4*u``."""

_FACTOR = re.compile("[0-9]{1,18}|[A-Za-z_][A-Za-z0-9_]*")

_LONGEST = 100
"""Characters of a product."""


def check_size(size: Size, known: Sequence[str]) -> str | None:
    """Return what is wrong with a size: its form, or a name that is not known."""
    if isinstance(size, int):
        return None
    if len(size) > _LONGEST or not all(map(_FACTOR.fullmatch, _factors(size))):
        return f"got {size!r:.120}, want a number, a name or a product such as '4*u'"
    unknown = [name for name in _names(size) if name not in known]
    if unknown:
        given = f"the names of shaped are {', '.join(known)}" if known else "shaped gives names to sizes"
        return f"{size!r}: no size is called {unknown[0]!r}; {given}"
    return None


def size_value(size: Size, sizes: Mapping[str, int]) -> int:
    """Return the number that a size stands for, given those that its names stand for."""
    if isinstance(size, int):
        return size
    return math.prod(int(part) if _is_number(part) else sizes[part] for part in _factors(size))


@dataclass(frozen=True)
class ShapePattern:
    """A shape that a tensor must have, in which sizes may have names."""

    sizes: tuple[Size, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names in it, each once."""
        return tuple(dict.fromkeys(name for size in self.sizes for name in _names(size)))

    def check(self) -> str | None:
        """Return what is wrong with the pattern, or None."""
        alone = [names[0] for names in map(_names, self.sizes) if len(names) == 1]
        for size in self.sizes:
            wrong = check_size(size, self.names)
            if wrong:
                return f"shaped: {wrong}"
            if isinstance(size, int) and size < 0:
                return f"shaped: got {size}, want a size or a name"
            names = _names(size)
            if len(names) > 1 and not set(names) <= set(alone):
                return f"shaped: {size!r} needs {' and '.join(dict.fromkeys(names))} as sizes of their own"
        return None

    def sizes_of(self, shape: Shape) -> dict[str, int] | None:
        """Return what the names stand for in a shape, or None if the shape does not match."""
        if len(shape) != len(self.sizes):
            return None
        sizes: dict[str, int] = {}
        # A size with one name tells what it stands for; products of several are compared after all of them.
        for size, actual in sorted(
            zip(self.sizes, shape, strict=True), key=lambda pair: len(_names(pair[0]))
        ):
            names = _names(size)
            if len(names) == 1 and names[0] not in sizes:
                factor = size_value(size, {names[0]: 1})
                if factor == 0 or actual % factor:
                    return None
                sizes[names[0]] = actual // factor
            elif size_value(size, sizes) != actual:
                return None
        return sizes


def _factors(size: str) -> list[str]:
    return [part.strip() for part in size.split("*")]


def _is_number(factor: str) -> bool:
    return factor.isascii() and factor.isdigit()


def _names(size: Size) -> list[str]:
    """Return the names in a size, one twice if it is squared."""
    return [] if isinstance(size, int) else [part for part in _factors(size) if not _is_number(part)]
