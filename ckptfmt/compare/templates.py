"""Templates: names that differ only in their numbers, compared as one.

The template of a name is the name with ``#`` for each number, so that the hundred layers of a model have one
template, and its words are compared once::

    bert/encoder/layer_0/attention/self/query/kernel      bert/encoder/layer_#/attention/self/query/kernel
    bert/encoder/layer_1/attention/self/query/kernel      the same, with the numbers (1,)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ckptfmt.compare.words import MAX_LENGTH, Words

_MAX_NUMBERS = 16
"""The last numbers of a name become ``#``, at most this many; earlier ones stay text."""

_NUMBER = re.compile(r"[0-9]{1,18}")
"""Without a bound, int() would take time quadratic in a number's digits."""


@dataclass
class Template:
    """Names that differ only in their numbers."""

    text: str
    """A name with ``#`` for each number."""
    words: Words
    members: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The numbers of each name, the same count for each."""


class Vocabulary:
    """The words and templates of names, each computed once."""

    def __init__(self) -> None:
        self._words: dict[str, Words] = {}
        self._split: dict[str, tuple[str, tuple[int, ...]]] = {}

    def words(self, text: str) -> Words:
        """Return the words of a name or a template."""
        words = self._words.get(text)
        if words is None:
            words = self._words[text] = Words(text)
        return words

    def split(self, name: str) -> tuple[str, tuple[int, ...]]:
        """Return the template of a name, and its numbers."""
        split = self._split.get(name)
        if split is None:
            split = self._split[name] = _split(name)
        return split


def templates_of(names: Iterable[str], known: Vocabulary) -> list[Template]:
    """Return the templates of names, in the order in which names are first met."""
    # Keyed by text and count of numbers: a name that contains "#" is a template of its own, without numbers.
    templates: dict[tuple[str, int], Template] = {}
    taken: set[tuple[str, tuple[int, ...]]] = set()
    for name in names:
        text, numbers = place = known.split(name)
        if place in taken:
            # "layer_1" after "layer_01" has the same numbers, and becomes a template of its own.
            text, numbers = place = name, ()
        taken.add(place)
        template = templates.get((text, len(numbers)))
        if template is None:
            template = templates[text, len(numbers)] = Template(text, known.words(text))
        template.members[name] = numbers
    _join_firsts({text: templates[text, count] for text, count in templates if text.count("#") == count})
    return [template for template in templates.values() if template.members]


def _split(name: str) -> tuple[str, tuple[int, ...]]:
    """A name with ``#`` for its numbers, and the numbers."""
    # Only the last numbers in the last characters become "#", so that a name of a million numbers takes no
    # time. A usual name is short and leaves by the second return.
    end = name[-MAX_LENGTH:]
    numbers = _NUMBER.findall(end)
    if not numbers or "#" in name:
        return name, ()
    if len(numbers) <= _MAX_NUMBERS and len(end) == len(name):
        return _NUMBER.sub("#", name), tuple(map(int, numbers))
    matches = list(_NUMBER.finditer(end))[-_MAX_NUMBERS:]
    begin = matches[0].start()
    text = f"{name[: len(name) - len(end)]}{end[:begin]}{_NUMBER.sub('#', end[begin:])}"
    return text, tuple(int(match[0]) for match in matches)


def _join_firsts(templates: Mapping[str, Template]) -> None:
    """Give the number 0 to names that TensorFlow gave none: ``dense/kernel`` goes with ``dense_1/kernel``.

    TensorFlow and Keras number the second object of a name, not the first.
    """
    # For each "_#" that ends a part of a template's text, the text without it may be the template of a first
    # object. Its members move over, unless a member here has the number 0 already. Templates with few numbers
    # come first, so that one whose members move over has already taken in its own firsts.
    for text in sorted((text for text in templates if "#" in text), key=lambda text: text.count("#")):
        template = templates[text]
        # Not at the end of a name of several parts: "w/Adam" and "w/Adam_1" are two slots, not two objects.
        ends = ("_#/", "_#.") if re.search(r"[/.]", text) else ("_#",)
        at = -1
        for position in range(min(text.count("#"), _MAX_NUMBERS)):
            at = text.index("#", at + 1)
            if not text.startswith(ends, at - 1) or (ends == ("_#",) and at + 1 < len(text)):
                continue
            first = templates.get(text[: at - 1] + text[at + 1 :])
            if first is None or any(numbers[position] == 0 for numbers in template.members.values()):
                continue
            for name, numbers in first.members.items():
                template.members[name] = (*numbers[:position], 0, *numbers[position:])
            first.members.clear()
