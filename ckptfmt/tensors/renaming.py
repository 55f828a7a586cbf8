"""Renaming: which tensors are meant, and what they are called instead.

A renaming is a dictionary *new name → name so far*, in the order of a listing; it is what views are made of.
Nothing here reads a tensor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

from ckptfmt.errors import NameConflictError
from ckptfmt.text.patterns import Pattern, matcher

Rule: TypeAlias = "tuple[Pattern, str | Callable[[re.Match[str]], str]]"
"""A regular expression and what replaces each of its matches, as :func:`re.sub` takes them."""

AVERAGE = "ExponentialMovingAverage"
"""What ``tf.train.ExponentialMovingAverage`` appends to the name of a variable, unless it is given a name."""

DEBIAS_SLOTS = ("biased", "local_step")
"""Below a moving average with ``zero_debias``: the average still biased, and how often it was updated."""

MAX_SCOPES = 64
"""Scopes of a name that are tried, so that a name of a million slashes takes no million squared."""


def selected(
    names: Iterable[str], patterns: Sequence[Pattern], exclude: Sequence[Pattern] = ()
) -> dict[str, str]:
    """Return the names that match a pattern, of none given all, and none of ``exclude``."""
    if patterns:
        names = filter(matcher(patterns), names)
    if exclude:
        unwanted = matcher(exclude)
        names = (name for name in names if not unwanted(name))
    return {name: name for name in names}


def renamed(names: Iterable[str], new_name: Callable[[str], str | None]) -> dict[str, str]:
    """Return the renaming that a function makes of each name; None drops it.

    Raises
    ------
    NameConflictError
        Several names would become one.
    TypeError
        The function returns something else.
    """
    claims = []
    for name in names:
        new = new_name(name)
        if new is None:
            continue
        if not isinstance(new, str):
            raise TypeError(f"new name of {name!r}: got {new!r}, want a str, or None to drop it")
        claims.append((new, name))
    return unique(claims, "new name for several tensors")


def by_rules(rules: Iterable[Rule]) -> Callable[[str], str]:
    """Return the function that applies regular-expression rules one after the other, as ``re.sub`` does."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]

    def new_name(name: str) -> str:
        for pattern, replacement in compiled:
            name = pattern.sub(replacement, name)
        return name

    return new_name


def averaged(names: Collection[str], suffix: str = AVERAGE) -> dict[str, str]:
    """Return the renaming by which variables are read from their moving averages.

    As ``tf.train.ExponentialMovingAverage.variables_to_restore`` maps them: a variable ``NAME`` with a shadow
    ``NAME/suffix`` is read from it, every other tensor from itself. The shadows are gone, and what belongs to
    them (:data:`DEBIAS_SLOTS`). A name that ends so without a variable is the average of some other tensor,
    a variable of its own, and stays.

    Made within a variable scope, the shadow of ``SCOPE/NAME`` is ``OUTER/SCOPE/NAME/suffix``. It is taken for
    that where the variable has no other shadow and lies in a scope: one outside of all scopes may share the
    last part of its name with a tensor that is averaged.
    """
    names = names if isinstance(names, (dict, set, frozenset)) else dict.fromkeys(names)
    end = f"/{suffix}"
    above = [name[: -len(end)] for name in names if name.endswith(end)]
    shadows = {variable: variable + end for variable in above if variable in names}
    outer: dict[str, list[str]] = {}
    for path in above:
        variable = None if path in names else below_scopes(path, names)
        if variable is not None and variable not in shadows:
            outer.setdefault(variable, []).append(path + end)
    shadows.update((variable, of[0]) for variable, of in outer.items() if len(of) == 1)
    taken = {*shadows.values(), *(f"{shadow}/{slot}" for shadow in shadows.values() for slot in DEBIAS_SLOTS)}
    return {name: shadows.get(name, name) for name in names if name not in taken}


def below_scopes(path: str, names: Collection[str]) -> str | None:
    """Return the name that a path is when its first scopes are left out, if one has a scope of its own."""
    for _ in range(MAX_SCOPES):
        path = path.partition("/")[2]
        if "/" not in path:
            break
        if path in names:
            return path
    return None


def unique(claims: Iterable[tuple[str, str]], what: str) -> dict[str, str]:
    """Return (name, claimant) pairs as a dictionary; NameConflictError lists the names claimed twice."""
    claims = list(claims)
    renaming = dict(claims)
    if len(renaming) < len(claims):
        raise NameConflictError(what, names=conflicts(claims))
    return renaming


def conflicts(claims: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names that several claim, with all their claimants."""
    claimants: dict[str, list[str]] = {}
    for name, claimant in claims:
        claimants.setdefault(name, []).append(claimant)
    return {name: several for name, several in claimants.items() if len(several) > 1}
