r"""Patterns: how the steps of a plan pick tensors by name, and templates for their new names.

A pattern is a regular expression. One that is a literal between ``^`` and ``$``, such as ``^dense/kernel$``,
matches exactly one name and is looked up instead of being searched for: a plan of many such steps takes time
for its steps, not for steps times names.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

_SPECIAL = frozenset(".^$*+?{}[]|()")
"""Characters that mean something else than themselves in a regular expression."""

_GROUP = re.compile(r"\\([1-9])")
# No second digit may follow, since the template ``\10`` means group 10.
_SIMPLE = re.compile(r"[^\\]*(?:\\[1-9](?![0-9])[^\\]*)+")
r"""A template with ``\1`` to ``\9`` in it and no other escapes."""


@dataclass(frozen=True)
class Pattern:
    """A regular expression, or the one name that a literal between ``^`` and ``$`` matches."""

    text: str

    @cached_property
    def literal(self) -> str | None:
        """The only name that matches, or None if only a search can tell."""
        # A regular expression's ``$`` also matches before a line feed at the end of a name; the look-up does
        # not.
        if len(self.text) < 2 or self.text[0] != "^" or self.text[-1] != "$":
            return None
        inner = self.text[1:-1]
        if "\\" not in inner:
            return None if _SPECIAL.intersection(inner) else inner
        chars = []
        characters = iter(inner)
        for char in characters:
            if char == "\\":
                char = next(characters, "a")
                if char.isalnum():
                    return None  # a class, a group, or the final $ escaped
            elif char in _SPECIAL:
                return None
            chars.append(char)
        return "".join(chars)

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The compiled regular expression."""
        return re.compile(self.text)

    def check(self) -> str | None:
        """Return what is wrong with the pattern, or None."""
        if self.literal is None:
            try:
                self.regex  # noqa: B018  (compiles it)
            except (re.error, RecursionError, OverflowError, ValueError) as error:
                return f"{self.text!r} is not a regular expression: {str(error) or type(error).__name__}"
        return None

    def check_template(self, template: str) -> str | None:
        """Return what is wrong with a template for names that match, or None."""
        if "\\" in template:
            try:
                # The template is parsed before anything is searched for.
                self.regex.sub(template, "")
            except (re.error, IndexError, ValueError) as error:
                return f"{template!r} is not a replacement for {self.text!r}: {error}"
        return None

    def found_in(self, names: Collection[str]) -> Iterable[str]:
        """Return the names that the pattern is found in."""
        if self.literal is None:
            return filter(self.regex.search, names)
        return (self.literal,) if self.literal in names else ()

    def replacements(self, names: Collection[str], template: str) -> dict[str, str]:
        """Return the names that the pattern is found in, each with its matches replaced as by ``re.sub``."""
        if self.literal is not None:
            return {self.literal: self._expand(template, None)} if self.literal in names else {}
        subn, filled = self.regex.subn, _filled(template)
        return {name: new for name in names for new, count in (subn(filled, name),) if count}

    def expansions(self, names: Collection[str], templates: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """Yield the names that the pattern matches as a whole, and what the templates become for each."""
        if self.literal is not None:
            if self.literal in names:
                yield self.literal, [self._expand(template, None) for template in templates]
            return
        fullmatch = self.regex.fullmatch
        for name in names:
            match = fullmatch(name)
            if match:
                yield name, [self._expand(template, match) for template in templates]

    def _expand(self, template: str, match: re.Match[str] | None) -> str:
        """Fill a template with the groups of a match, None being the match of the literal."""
        if "\\" not in template:
            return template
        if match is None:
            assert self.literal is not None
            # A literal has no groups but the whole match, \g<0>.
            match = re.compile(re.escape(self.literal)).fullmatch(self.literal)
            assert match is not None
        return match.expand(template)


def _filled(template: str) -> str | Callable[[re.Match[str]], str]:
    r"""Return a template for ``re.sub``, or a faster function that replaces it.

    Before Python 3.12 ``re`` fills templates in Python code, which parses them again for each match. Simple
    ones are taken apart here once.
    """
    if sys.version_info >= (3, 12) or not _SIMPLE.fullmatch(template):
        return template
    texts = _GROUP.split(template)[::2]
    groups = [int(number) for number in _GROUP.findall(template)]
    # A group that took no part in the match is empty, as in re.sub().
    if len(groups) == 1:
        (before, after), (group,) = texts, groups
        return lambda match: before + (match[group] or "") + after
    first, *rest = texts
    return lambda match: (
        first
        + "".join(
            [part for group, text in zip(groups, rest, strict=True) for part in (match[group] or "", text)]
        )
    )


def exact_pattern(name: str) -> str:
    """Return the text of the pattern that matches exactly one name."""
    return f"^{re.escape(name)}$"


def exact_template(name: str) -> str:
    """Return the template that gives exactly one name."""
    return name.replace("\\", "\\\\")
