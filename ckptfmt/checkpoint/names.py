"""Names: which tensors are meant, and what they are called instead.

A renaming is a dictionary *new name → name so far*, in the order of a listing; it is what views are made of.
Nothing here reads a tensor.
"""

from __future__ import annotations

import fnmatch
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from ckptfmt.arrays.array import Array
from ckptfmt.errors import NameConflictError

Pattern: TypeAlias = "str | re.Pattern[str]"
"""A glob over the whole name, in which ``*`` also matches slashes, or a compiled regular expression, which
is searched for."""

Rule: TypeAlias = "tuple[Pattern, str | Callable[[re.Match[str]], str]]"
"""A regular expression and what replaces each of its matches, as :func:`re.sub` takes them."""

VARIABLE_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
"""What ``tf.train.Checkpoint`` appends to the path of a variable."""

AVERAGE = "ExponentialMovingAverage"
"""What ``tf.train.ExponentialMovingAverage`` appends to the name of a variable, unless it is given a name."""

DEBIAS_SLOTS = ("biased", "local_step")
"""Below a moving average with ``zero_debias``: the average still biased, and how often it was updated."""

MAX_SCOPES = 64
"""Scopes of a name that are tried, so that a name of a million slashes takes no million squared."""

_COMPARED_NAMES = 1_000
"""A name not found is compared with all that there are only where there are no more than this."""

_NEAREST_NAMES = 200
"""Of more names it is compared with so many that end as it does, and so many that begin so: those next to it
in their order. The error comes at once then: in 0.2 s at a million names."""

_COMPARED_LENGTH = 500
"""Names longer than this are not compared: that takes time with the square of their length."""

_SUGGESTED = 3
"""Close matches that an error names."""


def matcher(patterns: Iterable[Pattern]) -> Callable[[str], object]:
    """Return a function that tells whether any pattern matches; a name with brackets also matches itself."""
    globs: list[str] = []
    tests: list[Callable[[str], object]] = []
    for pattern in patterns:
        if isinstance(pattern, str):
            globs.append(pattern)
        elif isinstance(pattern, re.Pattern):
            tests.append(pattern.search)
        else:
            raise TypeError(f"pattern: got {pattern!r}, want a glob or what re.compile returns")
    if globs:
        parts = (part for glob in globs for part in (fnmatch.translate(glob), re.escape(glob)))
        tests.append(re.compile("|".join(f"(?:{part})" for part in parts)).fullmatch)
    return tests[0] if len(tests) == 1 else lambda name: any(test(name) for test in tests)


def literal_prefixes(patterns: Iterable[Pattern]) -> list[str]:
    """Return how all names begin that patterns may match, none within another; ``""`` where nothing tells."""
    globs = [pattern if isinstance(pattern, str) else "" for pattern in patterns] or [""]
    prefixes: list[str] = []
    # As names are sorted: by their bytes, which for all but lone surrogates is the order of the characters.
    for prefix in sorted({re.split(r"[*?\[]", glob, maxsplit=1)[0] for glob in globs}):
        if not prefixes or not prefix.startswith(prefixes[-1]):
            prefixes.append(prefix)
    return prefixes


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


def nest(items: Iterable[tuple[str, Array]], separator: str = "/") -> dict[str, Any]:
    """Return arrays as nested dictionaries, names split at each ``separator``; :func:`flatten` undoes it.

    Raises
    ------
    NameConflictError
        A name is both that of an array and a scope of others.
    """
    if not separator:
        raise ValueError("separator: got '', want at least one character")
    tree: dict[str, Any] = {}
    clashes: dict[str, list[str]] = {}
    for name, array in items:
        *scopes, last = name.split(separator)
        branch = tree
        for depth, scope in enumerate(scopes, 1):
            below = branch.setdefault(scope, {})
            if not isinstance(below, dict):
                above = separator.join(scopes[:depth])
                clashes.setdefault(above, [above]).append(name)
                break
            branch = below
        else:
            if last in branch:
                clashes.setdefault(name, [name]).append(f"{name}{separator}…")
            branch[last] = array
    if clashes:
        raise NameConflictError("both a tensor and a scope", names=clashes)
    return tree


def flatten(tree: Mapping[str, Any], separator: str = "/") -> dict[str, Any]:
    """Return nested mappings as one dictionary: ``{"a": {"b": x}}`` becomes ``{"a/b": x}``.

    Everything that is no mapping is a value. The inverse of ``ckpt.nested()``; empty mappings vanish.

    Raises
    ------
    NameConflictError
        Two values get the same name.
    TypeError
        A key is not a string.
    ValueError
        A mapping contains itself.
    """
    flat: dict[str, Any] = {}
    for path, value in _leaves(tree):
        name = separator.join(path)
        if name in flat:
            raise NameConflictError("name of several values", names={name: [name, repr(path)]})
        flat[name] = value
    return flat


def _leaves(tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is no mapping and the keys that lead to it; without recursion, however deep."""
    path: list[str] = []
    within = {id(tree)}
    open_mappings = [(tree, iter(tree.items()))]
    while open_mappings:
        mapping, items = open_mappings[-1]
        for key, value in items:
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} below {'/'.join(path)!r}: want a str")
            if not isinstance(value, Mapping):
                yield (*path, key), value
                continue
            if id(value) in within:
                raise ValueError(f"the mapping at {'/'.join([*path, key])!r} contains itself")
            within.add(id(value))
            open_mappings.append((value, iter(value.items())))
            path.append(key)
            break
        else:
            open_mappings.pop()
            within.remove(id(mapping))
            if path:
                path.pop()


def close_matches(name: str, known_names: Iterable[str]) -> list[str]:
    """Return names that end in ``name`` or look like it, best first; what TF2 appends is left aside."""
    import difflib  # only errors need it

    short = name.removesuffix(VARIABLE_VALUE)
    if len(short) > _COMPARED_LENGTH:
        return []
    known = list(known_names)
    if len(known) > _COMPARED_NAMES:
        known = _nearest(short, known)
    names = {k.removesuffix(VARIABLE_VALUE): k for k in known if len(k) <= 2 * _COMPARED_LENGTH}
    alike = [known for known in names if known.endswith(f"/{short}")]
    if not alike:
        alike = difflib.get_close_matches(short, names, n=_SUGGESTED)
    return [names[known] for known in alike[:_SUGGESTED]]


def _nearest(short: str, known: list[str]) -> list[str]:
    """Those of many names that may be meant by ``short``: found by their ends, for comparing is slow."""
    scope, _, last = short.rpartition("/")
    ending = _ending(last, known)
    same = _ending(f"/{short}", ending)
    if same:
        return same[:_COMPARED_NAMES]
    beginning = [name for name in known if name.startswith(scope)] if scope else known
    near: dict[str, None] = {}
    # Where what is wrong comes early, the one meant may be far away in their order: then it ends alike.
    for names, end in ((ending, short), (beginning, last)):
        near |= dict.fromkeys(_around(short, names) + _around(short, _ending(end[len(end) // 2 :], names)))
    return list(near)


def _ending(end: str, names: Iterable[str]) -> list[str]:
    """Those names that end so, what TF2 appends left aside."""
    ends = (end, end + VARIABLE_VALUE)
    return [name for name in names if name.endswith(ends)]


def _around(short: str, names: list[str]) -> list[str]:
    """The names next to where ``short`` would be among them if they were sorted."""
    if len(names) <= _NEAREST_NAMES:
        return names
    names = sorted(names)  # as most are already
    middle = bisect_left(names, short)
    return names[max(0, middle - _NEAREST_NAMES // 2) : middle + _NEAREST_NAMES // 2]
