"""Nested values that are saved as objects, and programs with the same objects in TensorFlow."""

from __future__ import annotations

import collections
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

VARIABLE = np.arange(3, dtype=np.float32)


class Pair(NamedTuple):
    """A named tuple, which TensorFlow tracks under names and under indices."""

    first: Any
    second: Any


class Variables:
    """The same structures with variables in the place of arrays; what was shared is shared."""

    def __init__(self, tensorflow: ModuleType) -> None:
        self._tf = tensorflow
        self._made: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        """Return a structure with variables in it."""
        if isinstance(value, tuple):
            values = [self.of(each) for each in value]
            return type(value)(*values) if isinstance(value, Pair) else tuple(values)
        if isinstance(value, (int, float, str, bytes, np.generic)):
            return self._make(value)
        if id(value) not in self._made:
            self._made[id(value)] = value, self._make(value)
        return self._made[id(value)][1]

    def _make(self, value: Any) -> Any:
        if isinstance(value, dict):
            return type(value)((name, self.of(each)) for name, each in value.items())
        if isinstance(value, list):
            return [self.of(each) for each in value]
        return self._tf.Variable(value)


NAMES = st.one_of(
    st.sampled_from(
        ["", "a", "b", "a/b", ".x", "c.d", ".S", "..", "/", "é", "0", "layer-1", "VARIABLE_VALUE"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
)
RESERVED = {"root", "self", "save_counter"}


@st.composite
def structures(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a nested mapping in which arrays and containers may occur several times."""
    pool: list[Any] = [np.full(2, number, np.float32) for number in range(3)]
    for _ in range(draw(st.integers(0, 6))):
        values = st.sampled_from([*pool, [], {}, ()])
        kind = draw(st.sampled_from("dolnt"))
        if kind in "do":
            entries = draw(st.dictionaries(NAMES, values, max_size=4))
            pool.append(collections.OrderedDict(entries) if kind == "o" else entries)
        elif kind == "n":
            pool.append(Pair(draw(values), draw(values)))
        else:
            elements = draw(st.lists(values, max_size=4))
            pool.append(tuple(elements) if kind == "t" else elements)
    top = draw(st.dictionaries(NAMES, st.sampled_from(pool), max_size=4))
    return {name: value for name, value in top.items() if is_object(value) and name not in RESERVED}


def is_object(value: Any) -> bool:
    """Whether TensorFlow makes an object of a value."""
    return not isinstance(value, tuple) or any(map(is_object, value))


SHARED = [VARIABLE]
CASES: dict[str, dict[str, Any]] = {
    "empty": {},
    "scalars": {"b": True, "i": 3, "f": 1.5, "s": "text", "y": b"bytes", "n": np.float64(2)},
    "strings": {"words": np.array([b"a", b"bc"], object)},
    "a variable twice": {"b": VARIABLE, "a": {"x": VARIABLE, "y": [VARIABLE]}},
    "a list twice": {"a": SHARED, "b": {"x": SHARED, "y": SHARED}},
    "a list in a list twice": {"a": [SHARED], "b": SHARED, "c": [[SHARED], SHARED]},
    "empty containers": {"a": [], "b": {}, "c": {"d": {"e": []}}, "d": {"e": (), "f": ((), ())}},
    "names to escape": {"a/b": {".x": VARIABLE, "c.d": {"": VARIABLE.copy()}}, "": VARIABLE.copy()},
    "tuples": {"a": (VARIABLE, [], ()), "b": Pair(VARIABLE.copy(), {"c": VARIABLE}), "c": Pair((), [])},
    "many": {f"layer_{i}": {"kernel": np.float32(i), "bias": [i, i]} for i in range(300)},
    "deep": {"a": [{"b": [{"c": [{"d": VARIABLE}] * 2}] * 2}] * 2},
}
