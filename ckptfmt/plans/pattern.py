r"""Patterns: how the steps of a plan pick tensors by name, and templates for their new names.

A pattern is a regular expression. One that is a literal between ``^`` and ``$``, such as ``^dense/kernel$``,
matches exactly one name and is looked up instead of being searched for: a plan of many such steps takes time
for its steps, not for steps times names.

Names come from files, so a pattern must not hang on names made for it. ``re`` backtracks; it is used if the
structure of the pattern bounds its work (:mod:`ckptfmt.plans.backtracking`), as it does for nearly all
patterns that people write. For others, google-re2, which never backtracks, takes its place if it is
installed, and otherwise the pattern is refused. It does not search for all patterns: it is an extra, and a
plan must not change its meaning when it is installed (its ``\d`` is ASCII, and its ``$`` is only the very end
of a name).
"""

from __future__ import annotations

import importlib
import re
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from ckptfmt.cached_property import cached_property
from ckptfmt.errors import LimitError, UnsupportedError
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.plans.backtracking import Work, search_work

QUICK_STEPS = 1 << 24
"""Steps for one name that take no more than a fraction of a second, so that no clock is needed."""

MAX_STEPS = 1 << 32
"""Steps that ``re`` may take for one name, in the worst case: about a minute."""

SECONDS_PER_NAME = 0.001
"""Time that each name adds to that which a slow pattern may take."""

_SPECIAL = frozenset(".^$*+?{}[]|()")
"""Characters that have a special meaning in a regular expression."""

_GROUP = re.compile(r"\\([1-9])")
# No second digit may follow, since the template ``\10`` means group 10.
_SIMPLE = re.compile(r"[^\\]*(?:\\[1-9](?![0-9])[^\\]*)+")
r"""A template with ``\1`` to ``\9`` in it and no other escapes."""


class Engine(Protocol):
    """A compiled regular expression, of ``re`` or of google-re2."""

    def search(self, string: str, /) -> re.Match[str] | None:
        """Find the first match."""

    def fullmatch(self, string: str, /) -> re.Match[str] | None:
        """Match the whole string."""

    def subn(self, repl: str | Callable[[re.Match[str]], str], string: str, /) -> tuple[str, int]:
        """Replace all matches and count them."""


@dataclass(frozen=True)
class Pattern:
    """A regular expression, or the one name that a literal between ``^`` and ``$`` matches."""

    text: str
    limits: Limits = field(default=DEFAULT, compare=False, repr=False)
    """How long a slow pattern may take."""

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
        with warnings.catch_warnings():
            # "[[a]" will mean something else in a future Python: refused, so that plans keep their meaning.
            warnings.simplefilter("error", FutureWarning)
            return re.compile(self.text)

    @cached_property
    def _work(self) -> Work:
        """How the work of ``re`` grows with the length of a name."""
        return search_work(self.text)

    @cached_property
    def _linear(self) -> Engine:
        """The pattern of google-re2, which takes linear time; LookupError with the reason if it has none."""
        try:
            re2 = importlib.import_module("re2")
        except ImportError:
            what = "google-re2, which takes linear time, is not installed: pip install 'ckptfmt[patterns]'"
            raise LookupError(what) from None
        options = re2.Options()
        options.log_errors = False
        try:
            return cast(Engine, re2.compile(self.text, options))
        except re2.error as error:
            reason = error.args[0]
            reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
            raise LookupError(f"google-re2 cannot take its place: {reason}") from None

    def check(self) -> str | None:
        """Return what is wrong with the pattern, or None."""
        if self.literal is not None:
            return None
        try:
            self.regex  # noqa: B018  (compiles it)
            if self._work.is_exponential:
                self._linear  # noqa: B018
        except (re.error, RecursionError, OverflowError, ValueError) as error:
            return f"{self.text!r} is not a regular expression: {str(error) or type(error).__name__}"
        except FutureWarning as warning:
            return f"{self.text!r} is ambiguous: {warning}; put a backslash before the character"
        except LookupError as error:
            return f"{self.text!r} could take exponential time: avoid a repeat inside a repeat; {error}"
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
            regex, checked = self._engine(names)
            return filter(regex.search, checked)
        return (self.literal,) if self.literal in names else ()

    def replacements(self, names: Collection[str], template: str) -> dict[str, str]:
        """Return the names that the pattern is found in, each with its matches replaced as by ``re.sub``."""
        if self.literal is not None:
            return {self.literal: self._expand(template, None)} if self.literal in names else {}
        regex, checked = self._engine(names)
        subn, filled = regex.subn, _filled(template)
        return {name: new for name in checked for new, count in (subn(filled, name),) if count}

    def expansions(
        self, names: Collection[str], templates: Sequence[str], *, whole: bool = True
    ) -> Iterator[tuple[str, list[str]]]:
        """Yield the names that the pattern matches, and what the templates become for each.

        It must match ``whole`` names, or is only searched for in them.
        """
        if self.literal is not None:
            if self.literal in names:
                yield self.literal, [self._expand(template, None) for template in templates]
            return
        regex, checked = self._engine(names)
        find = regex.fullmatch if whole else regex.search
        filled = [_filled(template) for template in templates]
        for name in checked:
            match = find(name)
            if match:
                yield name, [self._expand(t, match) if isinstance(t, str) else t(match) for t in filled]

    def _engine(self, names: Collection[str]) -> tuple[Engine, Iterable[str]]:
        """Return what searches, and the names, whose iterator raises LimitError if that takes too long."""
        longest = max(map(len, names), default=0)
        steps = self._work.steps(longest)
        if steps <= QUICK_STEPS:
            return self.regex, names
        seconds = self.limits.max_seconds
        if steps <= MAX_STEPS or (seconds is None and not self._work.is_exponential):
            return self.regex, names if seconds is None else self._watched(names, seconds)
        try:
            linear = self._linear
        except LookupError as error:
            what = f"steps that {self.text!r} may take for a name of {longest} characters ({error})"
            raise LimitError(what, limit=MAX_STEPS, asked=int(min(steps, sys.maxsize))) from None
        for name in names:
            if not name.isascii() and any("\ud800" <= char <= "\udfff" for char in name):
                raise UnsupportedError(f"google-re2 searches names in UTF-8: got {name!r}")
        return linear, names

    def _watched(self, names: Collection[str], seconds: float) -> Iterator[str]:
        """Yield names as long as searching in them takes a bounded time."""
        allowed = seconds + SECONDS_PER_NAME * len(names)
        start = time.monotonic()
        for name in names:
            yield name
            taken = time.monotonic() - start
            if taken > allowed:
                what = f"seconds to search for {self.text!r} in {len(names)} names"
                raise LimitError(what, limit=int(allowed), asked=int(taken) + 1, field="max_seconds")

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
