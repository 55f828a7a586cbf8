"""Views: what all of them do, and those by object."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import ckptfmt
from ckptfmt import Checkpoint, View, errors
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from tests.support.checkpoints import new_checkpoint
from tests.support.corpus import CORPUS, has_variables
from tests.support.corpus import entries as corpus_entries
from tests.support.golden import GOLDEN
from tests.support.object_graph import encode_graph, encode_node, encode_variable
from tests.support.table_writer import write_bundle

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def test_views_read_nothing_until_they_are_used(tmp_path: Path, ckpt: Checkpoint) -> None:
    (tmp_path / "ckpt.data-00000-of-00001").unlink()
    view = ckpt.select("b/*").ema().renamed([("^b", "c")]).model_variables()
    assert list(view) == ["c/w"]
    assert view.entries["c/w"].shape == (2,)
    with pytest.raises(errors.CheckpointNotFoundError):
        view["c/w"]


def test_views_stack_in_any_order(ckpt: Checkpoint) -> None:
    view = (
        ckpt.select("b/*").renamed([("^b/", "")]).select(exclude="*_1").renamed({"adam": "w/Adam", "w": "w"})
    )
    assert list(view) == ["adam", "w"]
    assert view["adam"].tolist() == ckpt["b/w/Adam"].tolist()
    assert view.stored_name("adam") == "b/w/Adam"
    assert view.slice("adam")[1:].tolist() == ckpt["b/w/Adam"][1:].tolist()
    assert view.slice("adam").entry.name == "adam"
    out = {"w": np.empty(2, np.float32)}
    assert view.read(out=out)["w"] is out["w"]
    assert out["w"].tolist() == ckpt["b/w"].tolist()
    assert view.read(copy=True)["adam"].flags.writeable
    assert list(pickle.loads(pickle.dumps(view))) == list(view)


def test_a_name_that_a_view_does_not_have_is_an_error_with_its_closest_names(ckpt: Checkpoint) -> None:
    view = ckpt.renamed({"kernel": "b/w"})
    with pytest.raises(errors.TensorNotFoundError) as caught:
        view["kernal"]
    assert caught.value.close_matches == ("kernel",)
    with pytest.raises(errors.TensorNotFoundError):
        view.entries["b/w"]
    with pytest.raises(TypeError):
        view[3]  # type: ignore[index]


@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_two_names_for_one_tensor_get_an_array_each(
    tmp_path: Path, backend: Literal["mmap", "pread"]
) -> None:
    arrays = {"x": np.arange(300_000, dtype=np.float32), "y": np.float32([1, 2])}
    opened = ckptfmt.open(write_bundle(tmp_path / "ckpt", arrays), backend=backend)
    view = View(opened, {"a": "x", "c": "y", "b": "x", "d/e": "x"})
    want = {name: arrays[old] for name, old in view.names.items()}

    def check(got: Mapping[str, np.ndarray], names: str = "a c b d/e") -> None:
        assert list(got) == names.split()
        for name, array in got.items():
            np.testing.assert_array_equal(array, want[name])

    check(view)
    check(dict(view.items()))
    check(view.read())
    check(view.read(["b", "c", "a"]), "b c a")
    check(view.select("?"), "a c b")
    check(ckptfmt.flatten(view.to_nested()))
    check({name: view.slice(name)[...] for name in view})
    # Arrays of one's own are nobody else's.
    copies = view.read(copy=True)
    check(copies)
    copies["a"][:] = 0
    np.testing.assert_array_equal(copies["b"], want["b"])
    # Each array that is given is filled, and stays with its name.
    for filled in ({"b"}, {"a"}, {"a", "b"}, {"a", "b", "d/e", "c"}):
        out = {name: np.zeros_like(want[name]) for name in filled}
        got = view.read(list(view), out=out)
        check(got)
        assert {name for name in got if got[name].flags.writeable} == filled
        assert all(got[name] is out[name] for name in filled)
    assert view.stored_name("b") == "x"
    assert view.restore(["a", "b"]).report.matched == {"a": "x", "b": "x"}


def test_closing_a_view_closes_the_checkpoint(ckpt: Checkpoint) -> None:
    with ckpt.select("a/*") as view:
        kept = view["a/b"]
    with pytest.raises(ValueError, match="closed"):
        ckpt["b/w"]
    assert kept.tolist() == [0, 0.5]


# --- by object -------------------------------------------------------------------------------------------


def test_by_object_path_is_the_key_without_what_is_appended() -> None:
    with ckptfmt.open(GOLDEN / "object_slots") as ckpt:
        view = ckpt.by_object_path()
        assert set(view) == {
            *("opt/beta1_power", "opt/beta2_power", "save_counter", "v"),
            *("v/.OPTIMIZER_SLOT/opt/m", "v/.OPTIMIZER_SLOT/opt/v"),
        }
        assert view["v"].tolist() == ckpt[f"v{VALUE}"].tolist()


def test_by_object_path_below_an_object_names_variables_as_the_object_has_them() -> None:
    with ckptfmt.open("examples/digits") as ckpt:
        view = ckpt.by_object_path("model").select(exclude="optimizer/*")
        assert set(view) == {
            f"_functional/_operations/{name}"
            for name in (
                *("1/_kernel", "1/bias", "2/_kernel", "2/bias", "5/_kernel", "5/bias"),
                *("3/gamma", "3/beta", "3/moving_mean", "3/moving_variance"),
            )
        }
        with pytest.raises(errors.NameNotFoundError, match="did you mean 'model'"):
            ckpt.by_object_path("modell")


def test_by_full_name_reports_names_that_are_not_unique(tmp_path: Path) -> None:
    graph = encode_graph(
        [
            encode_node(children=[(1, "a"), (2, "b"), (3, "c")]),
            *(encode_variable("a"), encode_variable("b"), encode_variable("c", "dense/kernel")),
        ]
    )
    ckpt = new_checkpoint(tmp_path, {f"{name}{VALUE}": i for i, name in enumerate("abc")}, graph)
    with pytest.raises(errors.NameConflictError) as caught:
        ckpt.by_full_name(ambiguous="error")
    assert caught.value.names == {"Variable": (f"a{VALUE}", f"b{VALUE}")}
    assert caught.value.file == ckpt.prefix
    assert set(ckpt.by_full_name()) == {f"a{VALUE}", f"b{VALUE}", "dense/kernel"}
    assert ckpt.by_full_name()["dense/kernel"] == 2


def test_a_full_name_is_that_of_the_model_s_only_variable_of_the_name(tmp_path: Path) -> None:
    graph = encode_graph(
        [
            encode_node(children=[(1, "model"), (2, "metrics")]),
            encode_node(children=[(3, "count")]),
            encode_node(children=[(4, "count")]),
            encode_variable("model/count", "count"),
            encode_variable("metrics/count", "count"),
        ]
    )
    names = (f"model/count{VALUE}", f"metrics/count{VALUE}")
    ckpt = new_checkpoint(tmp_path, dict(zip(names, (1.0, 2.0), strict=True)), graph)
    view = ckpt.by_full_name()
    assert dict(view.items()) == {"count": 1, f"metrics/count{VALUE}": 2}
    assert list(view.model_variables()) == ["count"]


def test_short_names_that_are_one_unescaped_are_reported(tmp_path: Path) -> None:
    graph = encode_graph([encode_node(children=[(1, "a/b"), (2, "a")]), encode_variable("a.Sb")])
    graph += encode_graph([encode_node(children=[(3, "b")]), encode_variable("a/b")])
    ckpt = new_checkpoint(tmp_path, {f"a.Sb{VALUE}": 1, f"a/b{VALUE}": 2}, graph)
    with pytest.raises(errors.NameConflictError) as caught:
        ckpt.by_object_path()
    assert caught.value.names == {"a/b": (f"a.Sb{VALUE}", f"a/b{VALUE}")}
    assert set(ckpt.by_object_path(ambiguous="key")) == {f"a.Sb{VALUE}", f"a/b{VALUE}"}


def test_a_view_by_object_path_needs_an_object_graph(ckpt: Checkpoint) -> None:
    assert ckpt.object_graph is None
    with pytest.raises(errors.GraphError, match="no object graph"):
        ckpt.by_object_path()


def test_full_names_of_a_checkpoint_of_names_are_its_names(ckpt: Checkpoint) -> None:
    assert list(ckpt.by_full_name()) == list(ckpt)
    assert list(ckpt.by_full_name().model_variables()) == list(ckpt.model_variables())


def test_an_object_graph_that_is_not_a_string_scalar_is_an_error(tmp_path: Path) -> None:
    ckpt = new_checkpoint(tmp_path, {"_CHECKPOINTABLE_OBJECT_GRAPH": [1, 2]})
    with pytest.raises(errors.CorruptError, match=r"want string\[\]"):
        ckpt.object_graph  # noqa: B018


@pytest.mark.parametrize("entry", corpus_entries("bundle_v2", "checkpoint_v1", "saved_model"))
def test_views_of_the_corpus_keep_names_apart_and_lose_nothing(entry: dict[str, object]) -> None:
    if not has_variables(entry):
        pytest.skip("no variables")
    with ckptfmt.open(CORPUS / str(entry["path"])) as ckpt:
        if ckpt.object_graph is not None:
            assert len(ckpt.by_object_path(ambiguous="key")) == len(ckpt) - 1
            assert len(ckpt.by_full_name(ambiguous="key")) == len(ckpt) - 1
        model = ckpt.model_variables()
        assert set(model) <= set(ckpt)
        assert not [name for name in model if "Adam" in name.split("/")[-1] or "OPTIMIZER_SLOT" in name]


def test_an_object_graph_outlives_its_checkpoint() -> None:
    with ckptfmt.open("examples/digits") as ckpt:
        graph = ckpt.object_graph
        keys = set(ckpt) - {OBJECT_GRAPH_KEY}
    assert graph is not None
    assert set(graph.nodes_by_key) == keys


def test_a_walk_shows_weights_below_their_layers_whatever_name_the_optimizer_has(tmp_path: Path) -> None:
    graph = encode_graph(
        [
            encode_node(children=[(1, "adam"), (2, "model")]),
            encode_node(children=[(3, "_iterations"), (4, "_trainable_variables")]),
            encode_node(children=[(5, "kernel")]),
            encode_variable("adam/_iterations"),
            encode_node(children=[(5, "0")]),
            encode_variable("model/kernel"),
        ]
    )
    ckpt = new_checkpoint(tmp_path, {f"adam/_iterations{VALUE}": 1, f"model/kernel{VALUE}": 2}, graph)
    assert ckpt.object_graph is not None
    full = [visit.name for visit in ckpt.object_graph.walk() if visit.first and visit.node.keys]
    assert full == ["kernel", "_iterations"]
    assert set(ckpt.by_object_path("")) == {"model/kernel", "adam/_iterations"}


@pytest.mark.parametrize("view", ["checkpoint", "view", "plan"])
def test_a_name_that_is_not_a_string_is_a_type_error(tmp_path: Path, view: str) -> None:
    with ckptfmt.open(write_bundle(tmp_path / "c")) as ckpt:
        made: Any = {"checkpoint": ckpt, "view": ckpt.select(), "plan": ckpt.apply(ckptfmt.Plan())}[view]
        for use in (
            lambda: made[1],
            lambda: made.read([1]),
            lambda: made.restore([None]),
            lambda: made.renamed({"x": 1}),
            lambda: made.renamed({1: "w"}),
            lambda: made.slice(1),
        ):
            with pytest.raises(TypeError, match="name of a tensor"):
                use()
        assert 1 not in made
        assert [] not in made
        assert made.get([]) is None
