"""Names that mean the same: how alike two names are, and which of their numbers correspond.

A name is words and numbers. Its *template* is the name with ``#`` for each number, so that the layers of a
model have one template, compared once::

    bert/encoder/layer_0/attention/self/query/kernel      bert/encoder/layer_#/attention/self/query/kernel
    bert.encoder.layer.0.attention.self.query.weight      bert.encoder.layer.#.attention.self.query.weight

Words that stand for the same are made the same (``weight`` and ``kernel``), what only wraps counts little
(``model``, ``params``), and the last word counts double.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ckptfmt.object_graph.keys import VARIABLE_VALUE

MAX_WORDS = 32
"""Words of a name that are compared, the last ones: what tells tensors apart stands at the end."""

MAX_LENGTH = 1024
"""Characters of a name that are looked at, the last ones."""

_MAX_NUMBERS = 16
"""Numbers of a name that are told from text, the last ones."""

_NUMBER = re.compile(r"[0-9]{1,18}")
"""Without a bound, int() would take time quadratic in a number's digits."""

_WORD = re.compile(r"[1-3][dD](?![a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W_0-9A-Za-z]+")

_WEIGHT = "kernel"
_SYNONYMS = {
    **dict.fromkeys(("w", "weight", "weights", "matrix"), _WEIGHT),
    **dict.fromkeys(("b", "biases"), "bias"),
    "scale": "gamma",
    "offset": "beta",
    **dict.fromkeys(("var", "running_var", "moving_var", "moving_variance", "running_variance"), "variance"),
    **dict.fromkeys(("moving_mean", "running_mean"), "mean"),
    **dict.fromkeys(
        (
            *("embeddings", "embed", "emb", "embedder", "embedding_weight", "embedding_weights"),
            *("embedding_embedding", "embedding_embeddings"),
        ),
        "embedding",
    ),
    **dict.fromkeys(("normalization", "normalisation"), "norm"),
    **dict.fromkeys(("batchnorm", "bn"), "batch_norm"),
    **dict.fromkeys(("layernorm", "ln"), "layer_norm"),
    "attn": "attention",
    **dict.fromkeys(("q", "q_proj", "q_dense", "query_proj"), "query"),
    **dict.fromkeys(("k", "k_proj", "k_dense", "key_proj"), "key"),
    **dict.fromkeys(("v", "v_proj", "v_dense", "value_proj"), "value"),
    "value_dense": "value",
    "query_dense": "query",
    "key_dense": "key",
    **{other: word for word in ("query", "key", "value") for other in (f"{word[0]}_proj", f"{word}_proj")},
    **dict.fromkeys(("out", "o_proj", "out_proj", "output_proj"), "output"),
    "convolution": "conv",
    **dict.fromkeys(("linear", "fc", "fully_connected", "proj", "projection"), "dense"),
    "iter": "step",
    **dict.fromkeys(("global_step", "iterations", "steps"), "step"),
}
"""What a word, or two with an underscore between them, stands for."""

_NOISE = frozenset(
    (
        *(
            "model",
            "models",
            "module",
            "modules",
            "params",
            "param",
            "variables",
            "variable",
            "vars",
            "state",
        ),
        *("sequential", "functional", "operations", "trainable", "layer", "layers", "with", "net", "network"),
        *("root", "block", "blocks", "basic", "cell", "d", "1d", "2d", "3d", "list", "all", "self"),
    )
)
"""Words that wrap: found in some names of a tensor and not in others."""

_AKIN = {
    frozenset(pair): likeness
    for pair, likeness in (
        (("gamma", _WEIGHT), 0.7),  # torch calls both "weight"
        (("beta", "bias"), 0.9),
        (("embedding", _WEIGHT), 0.7),
        (("table", "embedding"), 0.7),
    )
}
"""Last words that may stand for the same, and how likely."""

_LIGHT, _PLAIN, _LAST = 0.25, 1.0, 2.0
"""What a word counts: one that wraps, any other, the last one."""


class Words:
    """The words of a name, as they are compared."""

    def __init__(self, text: str) -> None:
        text = text.removesuffix(":0").removesuffix(VARIABLE_VALUE)[-MAX_LENGTH:]
        words: list[str] = []
        for word in _WORD.findall(text):
            word = word.lower()
            # It may go together with the one before: "moving_mean" is one thing.
            pair = f"{words[-1]}_{word}" if words else ""
            if pair in _SYNONYMS:
                words[-1] = _SYNONYMS[pair]
            else:
                words += _SYNONYMS[word].split("_") if word in _SYNONYMS else (word,)
        self.all = tuple(words[-MAX_WORDS:])
        """In order, lower case, synonyms made one."""

    @property
    def last(self) -> str:
        """The word that says most."""
        return self.all[-1] if self.all else ""

    @cached_property
    def before(self) -> Counter[str]:
        """All words but the last one."""
        return Counter(self.all[:-1])

    @cached_property
    def weight(self) -> float:
        """What they count together."""
        return _LAST + sum(map(_weight, self.all[:-1]))


def _weight(word: str) -> float:
    return _LIGHT if word in _NOISE else _PLAIN


def likeness(a: Words, b: Words) -> float:
    """Return how alike the words of two names are: 0 nothing in common, 1 the same."""
    shared = _LAST if a.last == b.last else _LAST * _AKIN.get(frozenset((a.last, b.last)), 0.0)
    left_a, left_b = [], []
    for word, count in a.before.items():
        both = min(count, b.before.get(word, 0))
        shared += both * _weight(word)
        if both < count:
            left_a.append(word)
    for word, count in b.before.items():
        if a.before.get(word, 0) < count:
            left_b.append(word)
    # An abbreviation, or one word written as part of another.
    if left_a and left_b:
        shared += 0.7 * min(_begun(left_a, left_b), _begun(left_b, left_a))
    return min(1.0, 2 * shared / (a.weight + b.weight))


def _begun(words: Sequence[str], others: Sequence[str]) -> float:
    """What those words count that begin like one of the others, one of the two being a part of the other."""
    long = tuple(word for word in others if len(word) > 2)
    return sum(
        _weight(word)
        for word in words
        if len(word) > 2 and (word.startswith(long) or any(other.startswith(word) for other in long))
    )


@dataclass
class Template:
    """Names that differ in their numbers only."""

    text: str
    words: Words
    members: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Name → its numbers."""


class Vocabulary:
    """What has been found out about names, so that it is found out once."""

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
    templates: dict[tuple[str, int], Template] = {}
    met: set[tuple[str, tuple[int, ...]]] = set()
    for name in names:
        text, numbers = place = known.split(name)
        if place in met:
            # "layer_1" after "layer_01" is no member of the same template, but one of its own.
            text, numbers = place = name, ()
        met.add(place)
        # With their count: a name may have "#" itself, and is a template of its own then.
        template = templates.get((text, len(numbers)))
        if template is None:
            template = templates[text, len(numbers)] = Template(text, known.words(text))
        template.members[name] = numbers
    _join_firsts({text: templates[text, count] for text, count in templates if text.count("#") == count})
    return [template for template in templates.values() if template.members]


def _split(name: str) -> tuple[str, tuple[int, ...]]:
    end = name[-MAX_LENGTH:]
    found = _NUMBER.findall(end)
    if not found or "#" in name:
        return name, ()
    if len(found) <= _MAX_NUMBERS and len(end) == len(name):
        return _NUMBER.sub("#", name), tuple(map(int, found))
    places = list(_NUMBER.finditer(end))[-_MAX_NUMBERS:]
    begin = places[0].start()
    text = f"{name[: len(name) - len(end)]}{end[:begin]}{_NUMBER.sub('#', end[begin:])}"
    return text, tuple(int(place[0]) for place in places)


def _join_firsts(templates: Mapping[str, Template]) -> None:
    """Give the number 0 to names that TensorFlow gave none: ``dense/kernel`` goes with ``dense_1/kernel``."""
    for text in sorted((text for text in templates if "#" in text), key=lambda text: text.count("#")):
        template = templates[text]
        # Not at the end of a longer name: of "w/Adam" and "w/Adam_1" none is the first of its kind.
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


def aligned(
    wanted: Mapping[str, tuple[int, ...]], stored: Mapping[str, tuple[int, ...]]
) -> list[tuple[str, str]]:
    """Return the pairs of names whose numbers correspond; names and numbers as templates have them.

    The same numbers, where all of one side are on the other; else the same ranks among the numbers there are,
    so that layers 1 to 12 go with layers 0 to 11; else, where there are as many, the same place in order.
    """
    whole = _joined(wanted, stored)
    if whole is not None:
        return whole
    varying_a, varying_b = _varying(wanted), _varying(stored)
    pairs = _joined(varying_a, varying_b)
    if pairs is not None:
        return pairs
    if len(wanted) == len(stored):
        in_order = (sorted(side, key=side.__getitem__) for side in (varying_a, varying_b))
        return list(zip(*in_order, strict=True))
    if _width(varying_a) == _width(varying_b) > 0:
        by_rank = {numbers: name for name, numbers in _ranked(varying_b).items()}
        ranked = _ranked(varying_a).items()
        return [(name, by_rank[numbers]) for name, numbers in ranked if numbers in by_rank]
    return []


def _joined(
    wanted: Mapping[str, tuple[int, ...]], stored: Mapping[str, tuple[int, ...]]
) -> list[tuple[str, str]] | None:
    """Pairs of the same numbers, or None where some of both sides have no partner."""
    if _width(wanted) != _width(stored):
        return None
    by_numbers = {numbers: name for name, numbers in stored.items()}
    pairs = [(name, by_numbers[numbers]) for name, numbers in wanted.items() if numbers in by_numbers]
    return pairs if len(pairs) == min(len(wanted), len(stored)) else None


def _width(members: Mapping[str, tuple[int, ...]]) -> int:
    return len(next(iter(members.values()), ()))


def _varying(members: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The numbers without those that are the same in all names, such as the 2 of ``conv2d``."""
    columns = [column for column in zip(*members.values(), strict=True) if len(set(column)) > 1]
    rows: Iterable[tuple[int, ...]] = zip(*columns, strict=True) if columns else [()] * len(members)
    return dict(zip(members, rows, strict=True))


def _ranked(members: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The numbers as ranks among those at the same place."""
    columns: Sequence[Sequence[int]] = list(zip(*members.values(), strict=True))
    ranks = [{number: rank for rank, number in enumerate(sorted(set(column)))} for column in columns]
    return {
        name: tuple(ranks[place][number] for place, number in enumerate(numbers))
        for name, numbers in members.items()
    }
