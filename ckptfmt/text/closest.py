"""Near names: what a user may have meant by a name that does not exist.

A comparison takes time that grows with the product of both lengths, so a name is compared with about a
thousand others at most. If there are more, those that share its end or its beginning are sorted, and only the
nearest in that order are compared. An answer among a million names takes 0.2 s.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

_COMPARED_NAMES = 1_000
"""Number of names up to which a name is compared with all of them."""

_NEIGHBOURS = 200
"""Names that a name is compared with in a sorted list: half of them before its place, half after."""

_COMPARED_LENGTH = 500
"""Characters of the longest name that is compared."""

_SUGGESTED = 3
"""Names that an error suggests."""


def closest_names(name: str, known: Iterable[str], *, ending: str = "", count: int = _SUGGESTED) -> list[str]:
    """Return up to ``count`` known names that end in ``name``, are below it or look like it, best first.

    ``ending`` is a suffix that many names have and users leave out; it is not compared.
    """
    import difflib  # only errors need it

    short = name.removesuffix(ending)
    if len(short) > _COMPARED_LENGTH:
        return []
    candidates = list(known)
    if len(candidates) > _COMPARED_NAMES:
        candidates = _near(short, candidates, ending)
    names = {each.removesuffix(ending): each for each in candidates if len(each) <= 2 * _COMPARED_LENGTH}
    # To leave out the first scopes of a name is a likelier mistake than any typo.
    alike = [each for each in names if each.endswith(f"/{short}")]
    if not alike and short:
        # A scope instead of what is in it: TensorBoard, for one, shows the text ``notes/text_summary`` as
        # ``notes``.
        alike = [each for each in names if each.startswith(f"{short}/")]
    if not alike:
        alike = difflib.get_close_matches(short, names, n=count)
    return [names[each] for each in alike[:count]]


def did_you_mean(names: Sequence[str]) -> str:
    """Return the end of an error message that suggests names, or an empty string without any."""
    return f"; did you mean {' or '.join(map(repr, names))}?" if names else ""


def _near(short: str, known: list[str], ending: str) -> list[str]:
    """Select the few of many names that are worth comparing with ``short``.

    A typo late in a name leaves it next to the right one in sorted order; a typo early in it does not, but
    then both share their second half, and names with that half are sorted on their own. Either is looked for
    among the names with the same last part, then among those of the same scope.
    """
    scope, _, last = short.rpartition("/")
    same_end = _ending_in(last, known, ending)
    same_path = _ending_in(f"/{short}", same_end, ending)
    if same_path:
        return same_path[:_COMPARED_NAMES]
    same_scope = [name for name in known if name.startswith(scope)] if scope else known
    near: dict[str, None] = {}
    for names, end in ((same_end, short), (same_scope, last)):
        second_half = _ending_in(end[len(end) // 2 :], names, ending)
        near |= dict.fromkeys(_neighbours(short, names) + _neighbours(short, second_half))
    return list(near)


def _ending_in(end: str, names: Iterable[str], ending: str) -> list[str]:
    ends = (end, end + ending)
    return [name for name in names if name.endswith(ends)]


def _neighbours(short: str, names: list[str]) -> list[str]:
    """Return the names around the place where ``short`` would be in sorted order, names below it included."""
    if len(names) <= _NEIGHBOURS:
        return names
    names = sorted(names)  # cheap: most listings are sorted already
    middle = bisect_left(names, short)
    return names[max(0, middle - _NEIGHBOURS // 2) : middle + _NEIGHBOURS // 2]
