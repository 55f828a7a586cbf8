"""Near names: what somebody who asked for a name that does not exist may have meant.

Comparing is slow: time grows with the product of two lengths, for every name there is. So one name is
compared with about a thousand others at most: of more, with those that share its end or its beginning and
are next to it in sorted order. Among a million names an answer takes 0.2 s.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

_COMPARED_NAMES = 1_000
"""Up to this many names, the name is compared with all of them."""

_NEIGHBOURS = 200
"""Names on both sides that the name is compared with in each sorted selection of more names."""

_COMPARED_LENGTH = 500
"""Longer names are not compared."""

_SUGGESTED = 3
"""Names that an error suggests."""


def closest_names(name: str, known: Iterable[str], *, ending: str = "", count: int = _SUGGESTED) -> list[str]:
    """Return up to ``count`` known names that end in ``name`` or look like it, best first.

    ``ending`` is a suffix that names may have and that says nothing about them; it is not compared.
    """
    import difflib  # only errors need it

    short = name.removesuffix(ending)
    if len(short) > _COMPARED_LENGTH:
        return []
    listed = list(known)
    if len(listed) > _COMPARED_NAMES:
        listed = _near(short, listed, ending)
    names = {each.removesuffix(ending): each for each in listed if len(each) <= 2 * _COMPARED_LENGTH}
    alike = [each for each in names if each.endswith(f"/{short}")]
    if not alike:
        alike = difflib.get_close_matches(short, names, n=count)
    return [names[each] for each in alike[:count]]


def did_you_mean(names: Sequence[str]) -> str:
    """Return the end of an error message that suggests names, or an empty string without any."""
    return f"; did you mean {' or '.join(map(repr, names))}?" if names else ""


def _near(short: str, known: list[str], ending: str) -> list[str]:
    """Select the few of many names that are worth comparing with ``short``."""
    scope, _, last = short.rpartition("/")
    same_end = _ending_in(last, known, ending)
    same_path = _ending_in(f"/{short}", same_end, ending)
    if same_path:
        return same_path[:_COMPARED_NAMES]
    same_scope = [name for name in known if name.startswith(scope)] if scope else known
    near: dict[str, None] = {}
    # A typo early in the name moves it far away in sorted order: names that share its second half are sorted
    # on their own.
    for names, end in ((same_end, short), (same_scope, last)):
        second_half = _ending_in(end[len(end) // 2 :], names, ending)
        near |= dict.fromkeys(_neighbours(short, names) + _neighbours(short, second_half))
    return list(near)


def _ending_in(end: str, names: Iterable[str], ending: str) -> list[str]:
    ends = (end, end + ending)
    return [name for name in names if name.endswith(ends)]


def _neighbours(short: str, names: list[str]) -> list[str]:
    """Return the names around the place that ``short`` would have among them in sorted order."""
    if len(names) <= _NEIGHBOURS:
        return names
    names = sorted(names)  # cheap: most listings are sorted already
    middle = bisect_left(names, short)
    return names[max(0, middle - _NEIGHBOURS // 2) : middle + _NEIGHBOURS // 2]
