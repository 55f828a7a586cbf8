"""Patterns over names: globs and regular expressions."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

Pattern: TypeAlias = "str | re.Pattern[str]"
"""A glob over the whole name, in which ``*`` also matches slashes, or a compiled regular expression, which is
searched for anywhere in it."""


MAX_PREFIXES = 50
"""The most prefixes by which names are looked for: one pass over all names is faster than more of them."""

_WILDCARDS = re.compile(r"[*?\[]")


def is_glob(text: str) -> bool:
    """Return whether a text has characters that make it a glob; a name may have them too."""
    return _WILDCARDS.search(text) is not None


def matcher(patterns: Iterable[Pattern]) -> Callable[[str], object]:
    """Return a function that tells whether a name matches any pattern; TypeError if one is not a pattern.

    A glob also matches the name equal to it, so that names with brackets can be given as they are.
    """
    names: set[str] = set()
    tests: list[Callable[[str], object]] = []
    for pattern in patterns:
        if isinstance(pattern, str):
            names.add(pattern)
        elif isinstance(pattern, re.Pattern):
            tests.append(pattern.search)
        else:
            hint = (
                "; pass each as an argument of its own: *names"
                if isinstance(pattern, (list, tuple, set))
                else ""
            )
            raise TypeError(f"pattern: got {pattern!r:.80}, want a glob or what re.compile returns{hint}")
    if names:
        # Looked up rather than matched, so that thousands of names take no longer than one.
        tests.append(names.__contains__)
    if globs := [fnmatch.translate(name) for name in names if is_glob(name)]:
        tests.append(re.compile("|".join(f"(?:{glob})" for glob in globs)).fullmatch)
    return tests[0] if len(tests) == 1 else lambda name: any(test(name) for test in tests)


def literal_prefixes(patterns: Iterable[Pattern]) -> list[str]:
    """Return the prefixes of all names that the patterns can match, sorted, none a prefix of another.

    With them, only a part of a sorted table needs to be read. If a pattern can match names of any beginning,
    as regular expressions can, or there are too many prefixes, the only one is ``""``.
    """
    globs = [pattern if isinstance(pattern, str) else "" for pattern in patterns] or [""]
    prefixes: list[str] = []
    # In the order of the names: UTF-8 sorts by code points, as str does, except for lone surrogates.
    for prefix in sorted({_WILDCARDS.split(glob, maxsplit=1)[0] for glob in globs}):
        if not prefixes or not prefix.startswith(prefixes[-1]):
            prefixes.append(prefix)
    return prefixes if len(prefixes) <= MAX_PREFIXES else [""]
