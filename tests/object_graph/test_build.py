"""Object graphs of nested mappings: the bytes that ``tf.train.Checkpoint(**nested)`` writes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.errors import GraphError
from ckptfmt.object_graph.build import build_graph
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY, VARIABLE_VALUE
from tests.support.nested_values import CASES, VARIABLE, Variables, structures


def write(tensorflow: ModuleType, nested: dict[str, Any], folder: Path, *, save: bool) -> ckptfmt.Checkpoint:
    """Write a checkpoint with TensorFlow, and open it."""
    checkpoint = tensorflow.train.Checkpoint(**Variables(tensorflow).of(nested))
    prefix = (checkpoint.save if save else checkpoint.write)(str(folder / "ckpt"))
    return ckptfmt.open(prefix)


def check_like_tensorflow(
    tensorflow: ModuleType, nested: dict[str, Any], folder: Path, *, save: bool
) -> None:
    """Assert that message, keys, their order in the data and values are TensorFlow's."""
    built = build_graph(nested, save_counter=1 if save else None)
    with write(tensorflow, nested, folder, save=save) as theirs:
        assert built.message == bytes(theirs[OBJECT_GRAPH_KEY].item())
        stored = [key for key in theirs.entries if key != OBJECT_GRAPH_KEY]
        stored.sort(key=lambda key: theirs.entries[key].offset or 0)
        assert list(built.values) == stored
        for key, value in built.values.items():
            assert np.array_equal(tensorflow.constant(value).numpy(), theirs[key])


@pytest.mark.tensorflow
@given(nested=structures(), save=st.booleans())
@settings(max_examples=150)
def test_any_structure_is_written_as_tensorflow_does(
    tensorflow: ModuleType, tmp_path_factory: pytest.TempPathFactory, nested: dict[str, Any], save: bool
) -> None:
    check_like_tensorflow(tensorflow, nested, tmp_path_factory.mktemp("t"), save=save)


@pytest.mark.tensorflow
@pytest.mark.parametrize("save", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_structures(tensorflow: ModuleType, tmp_path: Path, case: str, save: bool) -> None:
    check_like_tensorflow(tensorflow, CASES[case], tmp_path, save=save)


def test_the_counter_may_be_an_entry() -> None:
    built = build_graph({"z": 1, "save_counter": np.int64(7)})
    assert built.message == build_graph({"z": 1}, save_counter=7).message
    key = "save_counter" + VARIABLE_VALUE
    assert list(built.values) == ["z" + VARIABLE_VALUE, key]
    assert built.values[key].dtype == np.int64
    assert built.values[key] == 7
    # The argument is the later word: a checkpoint that was read is saved under another number.
    assert build_graph({"save_counter": np.int64(7)}, save_counter=8).values[key] == 8


def test_equal_numbers_are_variables_of_their_own() -> None:
    assert len(build_graph({"a": 1, "b": 1, "c": {"d": "x", "e": "x"}}).values) == 4


def loop() -> dict[str, Any]:
    """Return a mapping with a list in it that holds itself."""
    held: list[Any] = []
    held.append({"again": held})
    return {"a": held}


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        ([1], "got list, want a mapping of names to values"),
        ({"a": None}, "'a': got NoneType, want an array"),
        ({"a": {"b": [0, {1, 2}]}}, "'a/b/1': got set"),
        ({"a/b": {"c": print}}, "'a.Sb/c': got builtin"),
        ({"a": ()}, "'a': got a tuple that holds no variable"),
        ({1: 2}, "key 1 of the mapping at the top: want a str"),
        ({"a": {1: 2}}, "key 1 of the mapping at 'a': want a str"),
        ({"a": {"b": [{(1, 2): 2}]}}, "key (1, 2) of the mapping at 'a/b/0': want a str"),
        ({"root": {"a": 1}}, "'root': tf.train.Checkpoint has a use of its own"),
        ({"a": {"\ud800": 1}}, "cannot be encoded as UTF-8"),
        ({"\ud800": 1}, "cannot be encoded as UTF-8"),
        ({"save_counter": [1]}, "'save_counter': got int64 of shape (1,), want an integer"),
        ({"save_counter": 1.5}, "want an integer"),
        (loop(), "'a/0/again': the container holds itself"),
    ],
)
def test_what_is_not_an_object_is_named(nested: Any, message: str) -> None:
    with pytest.raises(GraphError) as caught:
        build_graph(nested)
    assert message in str(caught.value)


def test_depth_and_number_are_not_limited() -> None:
    deep: Any = VARIABLE
    hollow: Any = ()
    for _ in range(20_000):
        deep, hollow = {"d": deep}, (hollow,)
    built = build_graph({"deep": deep, "hollow": [hollow], "wide": [0.5] * 20_000})
    assert len(built.values) == 20_001
