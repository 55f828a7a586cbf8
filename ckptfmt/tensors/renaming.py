"""Renamings: dictionaries *new name → present name*, in the order of a listing, from which views are made.

Nothing here reads a tensor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from ckptfmt.errors import NameConflictError
from ckptfmt.tensors.training_names import AVERAGE, DEBIAS_SLOTS
from ckptfmt.text.patterns import Pattern, is_glob, matcher

Rule: TypeAlias = "tuple[Pattern, str | Callable[[re.Match[str]], str]]"
"""A regular expression and the replacement of its matches, as :func:`re.sub` takes them."""

OUTPUT = ":0"
"""The end of a variable's name in Python, ``variable.name``: the number of an operation's output.

``tf.train.Saver({v.name: v for v in …})`` writes checkpoints in which all names end in it.
"""

MAX_SCOPES = 64
"""The most scopes of a name that are tried: trying all of a million would take a million squared steps."""


def selected(
    names: Iterable[str], patterns: Sequence[Pattern], exclude: Sequence[Pattern] = ()
) -> dict[str, str]:
    """Return the names that match a pattern, all if there are none, without those that match ``exclude``."""
    if patterns:
        names = filter(matcher(patterns), names)
    if exclude:
        unwanted = matcher(exclude)
        names = (name for name in names if not unwanted(name))
    return {name: name for name in names}


def idle(patterns: Iterable[Pattern], names: Collection[str]) -> list[Pattern]:
    """Return the patterns that match none of the names."""

    def is_idle(pattern: Pattern) -> bool:
        if pattern in names:
            return False
        # Looked up only: comparing each of many plain names with all others would take quadratic time.
        is_plain = isinstance(pattern, str) and not is_glob(pattern)
        return is_plain or not any(map(matcher((pattern,)), names))

    return list(filter(is_idle, patterns))


def renamed(
    names: Iterable[str], new_name: Callable[[str], str | None], file: str | None = None
) -> dict[str, str]:
    """Return the renaming by a function of names; a name for which it returns None is dropped.

    ``file`` is the checkpoint that errors name.

    Raises
    ------
    NameConflictError
        Several tensors would get one name.
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
    return unique(claims, "new name for several tensors", file)


def by_rules(rules: Iterable[Rule]) -> Callable[[str], str]:
    """Return a function that applies regular-expression rules one after the other, as ``re.sub`` does."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]

    def new_name(name: str) -> str:
        for pattern, replacement in compiled:
            name = pattern.sub(replacement, name)
        return name

    return new_name


def plain_names(names: Collection[str]) -> dict[str, str]:
    """Return names without :data:`OUTPUT` and what they stand for, in their order.

    A name keeps its end if another has the name without it.
    """
    if not any(name.endswith(OUTPUT) for name in names):
        return {name: name for name in names}
    plain = dict.fromkeys(names)
    return {(short if (short := name.removesuffix(OUTPUT)) not in plain else name): name for name in names}


def averaged(names: Collection[str], suffix: str = AVERAGE) -> dict[str, str]:
    """Return the renaming by which variables are read from their moving averages.

    As in ``tf.train.ExponentialMovingAverage.variables_to_restore``, a variable ``NAME`` with an average
    ``NAME/suffix`` is read from that, and every other tensor from itself. The averages and what belongs to
    them (:data:`DEBIAS_SLOTS`) are dropped. An average without a variable is that of some other tensor, and
    stays. Each name may end in :data:`OUTPUT`, and keeps it.

    An average made in a variable scope is named ``OUTER/SCOPE/NAME/suffix``. It counts as that of
    ``SCOPE/NAME`` if it is the only one and no average has the plain name. A variable outside all scopes is
    excluded, because its whole name may equal the last part of another averaged tensor's.
    """
    stored = plain_names(names)
    end = f"/{suffix.removesuffix(OUTPUT)}"
    averaged_names = [name[: -len(end)] for name in stored if name.endswith(end)]
    shadows = {variable: variable + end for variable in averaged_names if variable in stored}
    # The averages that may be a variable's from an outer scope: several candidates decide nothing.
    outer: dict[str, list[str]] = {}
    for path in averaged_names:
        variable = None if path in stored else below_scopes(path, stored)
        if variable is not None and variable not in shadows:
            outer.setdefault(variable, []).append(path + end)
    shadows.update((variable, several[0]) for variable, several in outer.items() if len(several) == 1)
    taken = {*shadows.values(), *(f"{shadow}/{slot}" for shadow in shadows.values() for slot in DEBIAS_SLOTS)}
    return {name: stored[shadows.get(plain, plain)] for plain, name in stored.items() if plain not in taken}


def below_scopes(path: str, names: Collection[str]) -> str | None:
    """Return the existing name, with a scope, that remains of a path without its first scopes."""
    for _ in range(MAX_SCOPES):
        path = path.partition("/")[2]
        if "/" not in path:
            break
        if path in names:
            return path
    return None


def unique(claims: Iterable[tuple[str, str]], what: str, file: str | None = None) -> dict[str, str]:
    """Return (name, claimant) pairs as a dictionary; NameConflictError if a name has several claimants.

    ``what`` and ``file``, the checkpoint, are those of the error.
    """
    claims = list(claims)
    renaming = dict(claims)
    if len(renaming) < len(claims):
        raise NameConflictError(what, names=conflicts(claims), file=file)
    return renaming


def conflicts(claims: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names that have several claimants, with all of these."""
    claimants: dict[str, list[str]] = {}
    for name, claimant in claims:
        claimants.setdefault(name, []).append(claimant)
    return {name: several for name, several in claimants.items() if len(several) > 1}


def distinct(
    names: Mapping[str, str], next_name: Callable[[str, int], str], last: int
) -> dict[str, tuple[str, int]]:
    """Return names of which no two are equal, with how often each had to give way, by what they stand for.

    ``next_name`` returns the name to try after so many others, up to the ``last``. All last names differ.
    """
    steps = dict.fromkeys(names, 0)
    found = dict(names)
    owners: dict[str, list[str]] = {}
    for each, name in names.items():
        owners.setdefault(name, []).append(each)
    # A new name may be one that another has already, which then gives way as well. Only names that were just
    # given are looked at again, and each gives way ``last`` times at most: that takes linear time.
    contested = [name for name, several in owners.items() if not name or len(several) > 1]
    while contested:
        moved = [each for name in contested for each in owners[name] if steps[each] < last]
        for name in contested:
            owners[name] = [each for each in owners[name] if steps[each] == last]
        for each in moved:
            steps[each] += 1
            found[each] = next_name(each, steps[each])
            owners.setdefault(found[each], []).append(each)
        contested = [name for name in dict.fromkeys(found[each] for each in moved) if len(owners[name]) > 1]
    return {each: (name, steps[each]) for each, name in found.items()}
