"""Words: the words in a name, and how alike the words of two names are.

Frameworks spell the name of one tensor differently, ``bert/encoder/layer_0/attention/self/query/kernel`` and
``encoder.layer.0.attn.q_proj.weight``. Split into words, with synonyms made one, what is left of both is
nearly the same. :func:`likeness` is the share of words that two names have in common, Dice's coefficient
``2 |A and B| / (|A| + |B|)``, in which words count differently:

- the last word counts twice, because it says what a tensor is to its layer, and a kernel is never a bias:
  names that differ only in the last word are 1/3 alike with one word before it, 1/2 with two;
- a word that wraps, such as ``model`` or ``params``, counts a quarter: one of two names often lacks it;
- an abbreviation counts 0.7 of the word that it begins.

The weights are a judgement: what counts is the order of candidates, which tests keep. At worst, comparing two
names takes time quadratic in their words; a name has at most :data:`MAX_WORDS`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ckptfmt.cached_property import cached_property
from ckptfmt.object_graph.keys import VARIABLE_VALUE

MAX_WORDS = 32
"""The last words of a name are compared, at most this many: the end of a name tells tensors apart."""

MAX_LENGTH = 1024
"""The last characters of a name are looked at, at most this many."""

_WORD = re.compile(r"[1-3][dD](?![a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W_0-9A-Za-z]+")
"""A word: ``2d``, capitals, letters with or without a capital before them, or letters of other alphabets.

Numbers are not words; templates compare them.
"""

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
    **{
        other: word
        for word in ("query", "key", "value")
        for other in (word[0], *(f"{each}_{end}" for each in (word[0], word) for end in ("proj", "dense")))
    },
    **dict.fromkeys(("out", "o_proj", "out_proj", "output_proj"), "output"),
    "convolution": "conv",
    **dict.fromkeys(("linear", "fc", "fully_connected", "proj", "projection"), "dense"),
    **dict.fromkeys(("iter", "global_step", "iterations", "steps"), "step"),
}
"""A word, or two words joined by an underscore -> the word that it is compared as."""

_WRAPPERS = frozenset(
    (
        *("model", "models", "module", "modules", "net", "network", "sequential", "functional", "operations"),
        *("params", "param", "variables", "variable", "vars", "state", "trainable", "root", "self"),
        *(
            "layer",
            "layers",
            "block",
            "blocks",
            "cell",
            "basic",
            "list",
            "all",
            "with",
            "d",
            "1d",
            "2d",
            "3d",
        ),
    )
)
"""Words that wrap: some names of a tensor have them and others do not."""

_ALIKE_ENDS = {
    frozenset(pair): likeness
    for pair, likeness in (
        (("gamma", _WEIGHT), 0.7),  # torch calls both "weight"
        (("beta", "bias"), 0.9),  # torch calls both "bias"
        (("embedding", _WEIGHT), 0.7),
        (("table", "embedding"), 0.7),
    )
}
"""Pairs of last words that may mean the same, and how alike they count."""

_WRAPPER, _PLAIN, _LAST = 0.25, 1.0, 2.0
"""Weights of words: one that wraps, any other, the last one."""

_ABBREVIATED = 0.7
"""The share of a word's weight that an abbreviation of it counts."""

_SHORTEST_ABBREVIATION = 3
"""Letters that an abbreviation has at least; shorter words begin too many others."""


class Words:
    """The words of a name, as they are compared."""

    def __init__(self, text: str) -> None:
        # TensorFlow appends these to all names, of outputs and of keys, so they tell nothing.
        text = text.removesuffix(":0").removesuffix(VARIABLE_VALUE)[-MAX_LENGTH:]
        words: list[str] = []
        for word in _WORD.findall(text):
            word = word.lower()
            # Two words may be one thing: "moving" and "mean" are "mean". The pair is looked up before the
            # word, and with what the word before it has become: "embedding/embeddings" is one "embedding".
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
        """The weight of all of them together."""
        return _LAST + sum(map(_weight, self.all[:-1]))


def _weight(word: str) -> float:
    return _WRAPPER if word in _WRAPPERS else _PLAIN


def likeness(a: Words, b: Words) -> float:
    """Return how alike the words of two names are, from 0 for nothing in common to 1 for the same words.

    The order of the words does not count, apart from the last one.
    """
    # Dice's coefficient over bags of words: a word that both names have twice is shared twice.
    shared = _LAST if a.last == b.last else _LAST * _ALIKE_ENDS.get(frozenset((a.last, b.last)), 0.0)
    left_a, left_b = [], []
    for word, count in a.before.items():
        both = min(count, b.before.get(word, 0))
        shared += both * _weight(word)
        if both < count:
            left_a.append(word)
    for word, count in b.before.items():
        if a.before.get(word, 0) < count:
            left_b.append(word)
    if left_a and left_b:
        # The smaller of both directions, so that one word cannot count as the abbreviation of several.
        shared += _ABBREVIATED * min(_abbreviated(left_a, left_b), _abbreviated(left_b, left_a))
    return min(1.0, 2 * shared / (a.weight + b.weight))


def _abbreviated(words: Sequence[str], others: Sequence[str]) -> float:
    """The weight of the words that abbreviate one of the others, or that one of the others abbreviates."""
    long = tuple(word for word in others if len(word) >= _SHORTEST_ABBREVIATION)
    return sum(
        _weight(word)
        for word in words
        if len(word) >= _SHORTEST_ABBREVIATION
        and (word.startswith(long) or any(other.startswith(word) for other in long))
    )
