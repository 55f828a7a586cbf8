"""Wrong names of object-based checkpoints that are names of a view, or close to one."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import ckptfmt
from ckptfmt import Checkpoint, Plan
from ckptfmt.errors import TensorNotFoundError
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY, VARIABLE_VALUE
from ckptfmt.tensors import stored_graph
from tests.support import golden
from tests.support.object_graph import encode_graph, encode_node, encode_variable
from tests.support.table_writer import write_bundle

KERNEL = f"optimizer/_trainable_variables/0{VARIABLE_VALUE}"

LOOK_UPS: dict[str, Callable[[Checkpoint, str], object]] = {
    "the checkpoint": lambda ckpt, name: ckpt[name],
    "its entries": lambda ckpt, name: ckpt.entries[name],
    "read": lambda ckpt, name: ckpt.read([name]),
    "slice": lambda ckpt, name: ckpt.slice(name),
    "renamed": lambda ckpt, name: ckpt.renamed({"x": name}),
    "a view": lambda ckpt, name: ckpt.by_object_path()[name],
    "a plan": lambda ckpt, name: ckpt.apply(Plan.parse("version = 1\n"))[name],
}


def error_of(ckpt: Checkpoint, name: str, look_up: str = "the checkpoint") -> TensorNotFoundError:
    with pytest.raises(TensorNotFoundError) as caught:
        LOOK_UPS[look_up](ckpt, name)
    assert caught.value.name == name
    assert caught.value.file == ckpt.prefix
    return caught.value


@pytest.mark.parametrize("look_up", LOOK_UPS)
def test_a_full_name_is_answered_with_its_view_and_key(look_up: str) -> None:
    with ckptfmt.open("examples/digits") as ckpt:
        error = error_of(ckpt, "digits/conv1/kernel", look_up)
    assert error.what.endswith(f"; by_full_name() has 'digits/conv1/kernel', stored as {KERNEL!r}")
    assert error.close_matches == (KERNEL,)


@pytest.mark.parametrize("look_up", LOOK_UPS)
def test_a_name_close_to_a_full_name_is_answered_with_that(look_up: str) -> None:
    with ckptfmt.open("examples/digits") as ckpt:
        error = error_of(ckpt, "digits/conv1/kernl", look_up)
    assert error.close_matches[0] == "digits/conv1/kernel"
    assert error.what.endswith("of by_full_name()?")


def test_names_of_each_kind_are_told_apart() -> None:
    with ckptfmt.open("examples/digits") as ckpt:
        assert "has 'digits/conv1/kernel', stored" in error_of(ckpt, "digits/conv1/kernel:0").what
        assert "by_object_path() has 'epoch', stored" in error_of(ckpt, "epoch").what
        path = "model/_functional/_operations/1/_kernel"
        assert f"object_graph[{path!r}] is stored as {KERNEL!r}" in error_of(ckpt, path).what
        assert f"did you mean {path!r} of object_graph" in error_of(ckpt, path.replace("_k", "_q")).what
        assert (
            f"did you mean 'optimizer/_iterations{VARIABLE_VALUE}'"
            in error_of(ckpt, "optimizer/iterations").what
        )
        assert error_of(ckpt, "zzzz").close_matches == ()


def test_a_view_suggests_only_what_it_has() -> None:
    with ckptfmt.open("examples/digits") as ckpt:
        view = ckpt.by_object_path().select("epoch", "optimizer/_trainable_variables/1")
        with pytest.raises(TensorNotFoundError) as caught:
            view["digits/conv1/kernel"]
    assert KERNEL not in caught.value.what
    assert "'digits/conv1/bias' of by_full_name()" in caught.value.what


def test_a_full_name_of_several_tensors_comes_with_their_keys(tmp_path: Path) -> None:
    keys = [f"{name}{VARIABLE_VALUE}" for name in "ab"]
    graph = encode_graph(
        [encode_node([(1, "a"), (2, "b")]), *(encode_variable(name, "dense/kernel") for name in "ab")]
    )
    tensors = {key: np.zeros(1, np.float32) for key in keys}
    with ckptfmt.open(write_bundle(tmp_path / "m", tensors, strings={OBJECT_GRAPH_KEY: graph})) as ckpt:
        assert error_of(ckpt, "dense/kernel").close_matches == tuple(keys)


def test_a_damaged_graph_gives_no_hint(tmp_path: Path) -> None:
    strings = {OBJECT_GRAPH_KEY: b"\xff\xff"}
    tensors = {"dense/kernel": np.zeros(1, np.float32)}
    with ckptfmt.open(write_bundle(tmp_path / "m", tensors, strings=strings)) as ckpt:
        assert error_of(ckpt, "dense/kernl").close_matches == ("dense/kernel",)


def test_a_large_graph_is_not_read_for_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_graph, "MAX_SUGGESTING", 1000)
    with ckptfmt.open("examples/digits") as ckpt:
        assert error_of(ckpt, "digits/conv1/kernel").close_matches == ()
        assert ckpt.object_graph is not None  # once it has been read, it gives hints
        assert error_of(ckpt, "digits/conv1/kernel").close_matches == (KERNEL,)


def test_no_graph_is_read_to_find_a_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckptfmt.object_graph.ObjectGraph", None)
    with ckptfmt.open("examples/digits") as ckpt:
        assert ckpt[KERNEL].shape == (3, 3, 1, 8)
        assert "digits/conv1/kernel" not in ckpt
        assert ckpt.get("digits/conv1/kernel") is None


@pytest.mark.parametrize("backend", ["mmap", "pread"])
@pytest.mark.parametrize("case", ["keras3", "sliced_shapes", "v1_sharded"])
def test_entries_can_be_pickled(case: str, backend: Literal["mmap", "pread"]) -> None:
    with ckptfmt.open(golden.GOLDEN / case, backend=backend) as ckpt:
        plan = Plan.parse("version = 1\n")
        for view in (ckpt, ckpt.select("*"), ckpt.renamed(lambda name: f"x/{name}"), ckpt.apply(plan)):
            pickled = pickle.dumps(view.entries)
            assert len(pickled) < 5_000
            entries = pickle.loads(pickled)
            assert dict(entries) == dict(view.entries)
            assert repr(entries) == repr(view.entries)
