"""Views: renamed, selected, averaged, without training, by object, nested; and reading what is there."""

from __future__ import annotations

import difflib
import pickle
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import ckptfmt
from ckptfmt import Checkpoint, RestoreReport, View, errors
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY, VARIABLE_VALUE
from ckptfmt.text.closest import closest_names
from tests.support.corpus import CORPUS, has_variables
from tests.support.corpus import entries as corpus_entries
from tests.support.golden import GOLDEN
from tests.support.object_graph import encode_graph, encode_node, encode_variable
from tests.support.table_writer import write_bundle

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def checkpoint(folder: Path, tensors: dict[str, object], graph: bytes | None = None) -> Checkpoint:
    """An open checkpoint of these float32 tensors, and an object graph."""
    arrays = {name: np.asarray(value, np.float32) for name, value in tensors.items()}
    write_bundle(folder / "ckpt", arrays, strings={} if graph is None else {OBJECT_GRAPH_KEY: graph})
    return ckptfmt.open(folder / "ckpt")


@pytest.fixture
def ckpt(tmp_path: Path) -> Checkpoint:
    names = [
        "a/b",
        "a/bias",
        "b/w",
        "b/w/Adam",
        "b/w/Adam_1",
        "beta1_power",
        "beta2_power",
        "c[0]",
        "global_step",
    ]
    return checkpoint(tmp_path, {name: [i, i + 0.5] for i, name in enumerate(names)})


# --- renamed ---------------------------------------------------------------------------------------------


def test_renamed_by_a_mapping_has_just_its_names_in_its_order(ckpt: Checkpoint) -> None:
    view = ckpt.renamed({"new": "b/w", "other": "a/b"})
    assert list(view) == ["new", "other"]
    assert view["new"].tolist() == ckpt["b/w"].tolist()
    assert view.entries["new"] == ckpt.entries["b/w"]._replace(name="new")
    assert view.stored_name("new") == "b/w"
    assert "b/w" not in view
    assert view.get("b/w") is None
    assert np.shares_memory(view["new"], ckpt["b/w"])


def test_renamed_by_a_mapping_can_keep_the_rest(ckpt: Checkpoint) -> None:
    view = ckpt.renamed({"new": "b/w"}, keep_rest=True)
    assert set(view) == set(ckpt) - {"b/w"} | {"new"}
    with pytest.raises(errors.NameConflictError) as caught:
        ckpt.renamed({"a/b": "b/w"}, keep_rest=True)
    assert caught.value.names == {"a/b": ("b/w", "a/b")}


def test_renamed_lists_all_names_that_are_missing(ckpt: Checkpoint) -> None:
    with pytest.raises(errors.TensorNotFoundError) as caught:
        ckpt.renamed({"x": "no", "y": "b/w", "z": "neither"})
    assert caught.value.names == ("no", "neither")
    assert "'no', 'neither'" in str(caught.value)


def test_renamed_lists_all_names_given_twice(ckpt: Checkpoint) -> None:
    with pytest.raises(errors.NameConflictError) as caught:
        ckpt.renamed({"x": "b/w", "y": "b/w", "z": "a/b"})
    assert caught.value.names == {"b/w": ("x", "y")}
    with pytest.raises(errors.NameConflictError) as caught:
        ckpt.renamed(lambda name: name.partition("_")[0])
    assert caught.value.names == {"b/w/Adam": ("b/w/Adam", "b/w/Adam_1")}
    with pytest.raises(errors.NameConflictError):
        ckpt.renamed([(r"beta\d", "beta")])


def test_renamed_by_rules_applies_one_after_the_other(ckpt: Checkpoint) -> None:
    view = ckpt.renamed([("^a/", "x/"), (re.compile("^x/b(.*)"), r"y\1")])
    assert list(view)[:3] == ["y", "yias", "b/w"]
    assert len(view) == len(ckpt)


def test_renamed_by_a_function_leaves_out_what_it_has_no_name_for(ckpt: Checkpoint) -> None:
    view = ckpt.renamed(lambda name: name.upper() if name.startswith("a") else None)
    assert list(view) == ["A/B", "A/BIAS"]
    with pytest.raises(TypeError, match="new name of 'a/b'"):
        ckpt.renamed(lambda name: 1)  # type: ignore[arg-type,return-value]


# --- select ----------------------------------------------------------------------------------------------


def test_select_by_globs_and_regular_expressions(ckpt: Checkpoint) -> None:
    assert list(ckpt.select("a/*")) == ["a/b", "a/bias"]
    assert list(ckpt.select("a/b", re.compile("^beta"))) == ["a/b", "beta1_power", "beta2_power"]
    assert list(ckpt.select("b/*", exclude="*Adam*")) == ["b/w"]
    assert list(ckpt.select(exclude=[re.compile("Adam|beta"), "a/*"])) == ["b/w", "c[0]", "global_step"]
    assert list(ckpt.select("c[0]")) == ["c[0]"]
    assert list(ckpt.select("nothing")) == []
    with pytest.raises(TypeError, match="want a glob"):
        ckpt.select(3)  # type: ignore[arg-type]


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


MANY_NAMES = [
    f"model/layer_{layer}/{part}/{variable}{VALUE}"
    for layer in range(1500)
    for part in ("attention", "dense")
    for variable in ("kernel", "bias")
]


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("model/layer_1234/dense/kernel", "model/layer_1234/dense/kernel"),
        ("layer_1234/dense/kernel", "model/layer_1234/dense/kernel"),
        ("model/layer_1234/dense/kernal", "model/layer_1234/dense/kernel"),
        (f"model/layer_1234/dense/kernal{VALUE}", "model/layer_1234/dense/kernel"),
        ("model/layer_1234/dens/kernel", "model/layer_1234/dense/kernel"),
        ("model/layr_1234/dense/kernel", "model/layer_1234/dense/kernel"),
        ("modle/layer_1234/dense/kernel", "model/layer_1234/dense/kernel"),
        ("my_model/layer_1234/dense/kernel", "model/layer_1234/dense/kernel"),
        ("model/layer_1234/dense", None),
        ("zzz", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("shuffled", [False, True])
def test_among_many_names_the_one_meant_is_found(wrong: str, meant: str | None, shuffled: bool) -> None:
    names = random.Random(0).sample(MANY_NAMES, len(MANY_NAMES)) if shuffled else sorted(MANY_NAMES)
    close = closest_names(wrong, names, ending=VARIABLE_VALUE)
    assert len(close) <= 3
    assert meant is None or close[0] == meant + VALUE


def test_few_of_a_million_names_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(difflib, "get_close_matches", lambda _, names, n: compared.append(len(names)) or [])
    names = [f"model/part_{i:06}/kernel" for i in range(1_000_000)]
    for wrong in ("model/part_x00000/kernel", "modle/part_77/kernel", "model/part", "zzz"):
        assert closest_names(wrong, names, ending=VARIABLE_VALUE) == []
    assert 0 < max(compared) <= 800
    assert closest_names("part_999999/kernel", iter(names), ending=VARIABLE_VALUE) == [
        "model/part_999999/kernel"
    ]


def test_closing_a_view_closes_the_checkpoint(ckpt: Checkpoint) -> None:
    with ckpt.select("a/*") as view:
        kept = view["a/b"]
    with pytest.raises(ValueError, match="closed"):
        ckpt["b/w"]
    assert kept.tolist() == [0, 0.5]


# --- moving averages -------------------------------------------------------------------------------------


def test_ema_reads_the_textbook_case_from_its_average(tmp_path: Path) -> None:
    average = np.float32(0.0999999)
    with checkpoint(tmp_path, {"v": 10.0, "v/ExponentialMovingAverage": average, "n": 3}).ema() as view:
        assert view["v"] == average
        assert view["n"] == 3
        assert list(view) == ["n", "v"]


def test_ema_takes_another_suffix_and_leaves_averages_without_a_variable(tmp_path: Path) -> None:
    names = ["v", "v/avg", "v/avg/biased", "v/avg/local_step", "loss/avg", "loss/avg/biased", "v/biased"]
    ckpt = checkpoint(tmp_path, {name: i for i, name in enumerate(names)})
    assert list(ckpt.ema()) == sorted(names)
    assert dict(ckpt.ema("avg").names) == {
        "loss/avg": "loss/avg",
        "loss/avg/biased": "loss/avg/biased",
        "v": "v/avg",
        "v/biased": "v/biased",
    }


# --- model variables -------------------------------------------------------------------------------------


def test_model_variables_by_scopes(ckpt: Checkpoint) -> None:
    assert list(ckpt.model_variables()) == ["a/b", "a/bias", "b/w", "c[0]"]


def test_model_variables_by_scopes_follow_each_rule(tmp_path: Path) -> None:
    kept = {
        "bn/moving_mean": [1, 2],
        "dense/kernel": [1, 2],
        "dense/kernels": [1, 2],
        "dense/kernel/sub": [1],
        "m": 1,
    }
    left_out = {
        "dense/kernel/ExponentialMovingAverage": [1, 2],
        "dense/kernel/adam_m": [1, 2],
        "dense/kernel/own_slot": [1, 2],
        "bn/moving_mean/biased": [1, 2],
        "bn/moving_mean/local_step": 1,
        "train/dense/kernel/Adam": [1, 2],
        "train/dense/kernel/Adam_1": [1, 2],
        "train/learning_rate": 1,
        "train/beta1_power_1": 1,
        "other/global_step": 1,
    }
    ckpt = checkpoint(tmp_path, kept | left_out)
    assert list(ckpt.model_variables()) == sorted(kept)


def test_model_variables_of_object_based_checkpoints() -> None:
    with ckptfmt.open(GOLDEN / "object_slots") as ckpt:
        assert list(ckpt.model_variables()) == [f"v{VALUE}"]
    with ckptfmt.open("examples/digits") as ckpt:
        names = set(ckpt.by_full_name().model_variables())
    assert names == {"epoch"} | {
        f"digits/{name}"
        for name in (
            *("conv1/kernel", "conv1/bias", "conv2/kernel", "conv2/bias", "logits/kernel", "logits/bias"),
            *("norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance"),
        )
    }


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
    ckpt = checkpoint(tmp_path, {f"{name}{VALUE}": i for i, name in enumerate("abc")}, graph)
    with pytest.raises(errors.NameConflictError) as caught:
        ckpt.by_full_name()
    assert caught.value.names == {"Variable": (f"a{VALUE}", f"b{VALUE}")}
    assert set(ckpt.by_full_name(ambiguous="key")) == {f"a{VALUE}", f"b{VALUE}", "dense/kernel"}
    assert ckpt.by_full_name(ambiguous="key")["dense/kernel"] == 2


def test_short_names_that_are_one_unescaped_are_reported(tmp_path: Path) -> None:
    graph = encode_graph([encode_node(children=[(1, "a/b"), (2, "a")]), encode_variable("a.Sb")])
    graph += encode_graph([encode_node(children=[(3, "b")]), encode_variable("a/b")])
    ckpt = checkpoint(tmp_path, {f"a.Sb{VALUE}": 1, f"a/b{VALUE}": 2}, graph)
    with pytest.raises(errors.NameConflictError) as caught:
        ckpt.by_object_path()
    assert caught.value.names == {"a/b": (f"a.Sb{VALUE}", f"a/b{VALUE}")}
    assert set(ckpt.by_object_path(ambiguous="key")) == {f"a.Sb{VALUE}", f"a/b{VALUE}"}


def test_views_by_object_need_an_object_graph(ckpt: Checkpoint) -> None:
    assert ckpt.object_graph is None
    for view in (ckpt.by_full_name, ckpt.by_object_path):
        with pytest.raises(errors.GraphError, match="no object graph"):
            view()


def test_an_object_graph_that_is_not_a_string_scalar_is_an_error(tmp_path: Path) -> None:
    ckpt = checkpoint(tmp_path, {"_CHECKPOINTABLE_OBJECT_GRAPH": [1, 2]})
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


# --- nested ----------------------------------------------------------------------------------------------


def test_nested_is_plain_dictionaries_and_flatten_undoes_it(ckpt: Checkpoint) -> None:
    tree = ckpt.model_variables().to_nested()
    assert type(tree["a"]) is dict
    assert tree["a"]["b"].tolist() == ckpt["a/b"].tolist()
    flat = ckptfmt.flatten(tree)
    assert list(flat) == ["a/b", "a/bias", "b/w", "c[0]"]
    assert all(flat[name] is not None and flat[name].tolist() == ckpt[name].tolist() for name in flat)


def test_nested_refuses_a_name_that_is_also_a_scope(ckpt: Checkpoint) -> None:
    with pytest.raises(errors.NameConflictError) as caught:
        ckpt.to_nested()
    assert list(caught.value.names) == ["b/w"]
    assert caught.value.names["b/w"][:2] == ("b/w", "b/w/Adam")


def test_flatten_refuses_what_has_no_single_name() -> None:
    with pytest.raises(errors.NameConflictError):
        ckptfmt.flatten({"a/b": 1, "a": {"b": 2}})
    with pytest.raises(TypeError):
        ckptfmt.flatten({1: 2})  # type: ignore[dict-item]
    loop: dict[str, object] = {}
    loop["a"] = {"b": loop}
    with pytest.raises(ValueError, match="contains itself"):
        ckptfmt.flatten(loop)


# --- partial restore -------------------------------------------------------------------------------------


def test_a_restore_attaches_the_report(ckpt: Checkpoint) -> None:
    restored = ckpt.restore(["b/w", "no", "a/b", "neither"])
    assert list(restored) == ["b/w", "a/b"]
    report = restored.report
    assert isinstance(report, RestoreReport)
    assert dict(report.matched) == {"b/w": "b/w", "a/b": "a/b"}
    assert report.missing == ["no", "neither"]
    assert set(report.unused) == set(ckpt) - {"b/w", "a/b"}
    assert not report.restorable
    with pytest.raises(AssertionError, match=r"2 missing.*'no', 'neither'"):
        report.assert_existing_objects_matched()


def test_a_restore_reports_what_is_unused(ckpt: Checkpoint) -> None:
    report = ckpt.restore(["b/w"]).report
    report.assert_existing_objects_matched()
    with pytest.raises(errors.NotConsumedError, match="8 unused"):
        report.assert_consumed()
    ckpt.restore().report.assert_consumed()


def test_read_with_missing_warns_and_is_a_restore(ckpt: Checkpoint) -> None:
    with pytest.warns(DeprecationWarning, match=r"is now restore\(\)"):
        restored: Any = ckpt.read(["b/w", "no"], missing="skip")
    assert (list(restored), restored.report.missing) == (["b/w"], ["no"])
    with (
        pytest.warns(DeprecationWarning, match="restore"),
        pytest.raises(errors.TensorNotFoundError) as caught,
    ):
        ckpt.read(["b/w", "no", "neither"], missing="error")
    assert caught.value.names == ("no", "neither")
    with pytest.raises(ValueError, match="missing"):
        ckpt.read(["b/w"], missing="ignore")  # type: ignore[arg-type]


def test_nested_warns_and_is_to_nested(ckpt: Checkpoint) -> None:
    with pytest.warns(DeprecationWarning, match=r"is now to_nested\(\)"):
        tree = ckpt.select("a/b").nested()
    assert list(tree) == ["a"]


def test_read_without_missing_is_a_plain_dictionary(ckpt: Checkpoint) -> None:
    assert type(ckpt.read(["b/w"])) is dict


# --- plans -----------------------------------------------------------------------------------------------


PLAN = r"""
version = 1
[[step]]
drop = '/Adam|power$|global_step'
[[step]]
rename = '^a/'
to = 'x/'
[[step]]
concat = ['^x/b$', '^x/bias$']
into = 'x/both'
axis = 0
[[step]]
cast = '^b/w$'
dtype = "float64"
"""


def test_a_plan_is_a_view_that_reads_as_any_other(tmp_path: Path, ckpt: Checkpoint) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    view = ckpt.apply(tmp_path / "plan.toml")
    both = [*ckpt["a/b"], *ckpt["a/bias"]]
    assert set(view) == {"x/both", "b/w", "c[0]"}
    assert view["x/both"].tolist() == both
    assert not view["x/both"].flags.writeable
    assert view.entries["x/both"].shape == (4,)
    assert view.entries["x/both"].nbytes == 16
    assert view.entries["b/w"].dtype == "float64"
    for reader in (view.slice("x/both"), pickle.loads(pickle.dumps(view.slice("x/both")))):
        assert (reader.name, reader.size, reader.nbytes) == ("x/both", 4, 16)
        assert reader[1:3].tolist() == both[1:3]
        assert not reader.is_verified(...)
    assert view.stored_name("c[0]") == "c[0]"
    assert view.stored_name("x/both") is None
    assert np.shares_memory(view["c[0]"], ckpt["c[0]"])
    out = {"b/w": np.empty(2, np.float64), "c[0]": np.empty(2, np.float32)}
    arrays = view.read(out=out)
    assert arrays["b/w"] is out["b/w"]
    assert arrays["c[0]"] is out["c[0]"]
    assert out["b/w"].tolist() == ckpt["b/w"].tolist()
    assert out["c[0]"].tolist() == ckpt["c[0]"].tolist()
    assert view.read(copy=True)["x/both"].flags.writeable
    assert list(view.select("x/*").renamed({"y": "x/both"})) == ["y"]
    assert pickle.loads(pickle.dumps(view))["x/both"].tolist() == both
    assert view.restore(["no", "b/w"]).report.missing == ["no"]


def test_a_plan_that_does_not_fit_is_an_error_where_the_tensor_is_read(ckpt: Checkpoint) -> None:
    plan = ckptfmt.Plan.parse("version = 1\n[[step]]\nreshape = '^b/w$'\nshape = [3]\n")
    view = ckpt.apply(plan)
    assert view["a/b"].tolist() == ckpt["a/b"].tolist()
    for read in (lambda: view["b/w"], lambda: view.entries["b/w"], lambda: view.slice("b/w")[0]):
        with pytest.raises(errors.PlanError, match="step 1"):
            read()


def test_a_plan_does_not_read_parts_of_a_damaged_tensor(tmp_path: Path) -> None:
    ckpt = checkpoint(tmp_path, {"qkv": np.ones((2, 6))})
    data = next(tmp_path.glob("*.data-*"))
    content = bytearray(data.read_bytes())
    content[5] ^= 0x40
    data.write_bytes(content)
    split = "version = 1\n[[step]]\nsplit = 'qkv'\ninto = ['q', 'k', 'v']\naxis = 1"
    with ckpt.apply(ckptfmt.Plan.parse(split)) as view:
        for name in view:
            with pytest.raises(errors.ChecksumError, match="'qkv'"):
                view[name]
        with pytest.raises(errors.ChecksumError, match="'qkv'"):
            view.read()
        # A part of it is read without a checksum, as of any tensor, and says so.
        assert not view.slice("q").is_verified(...)


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
    ckpt = checkpoint(tmp_path, {f"adam/_iterations{VALUE}": 1, f"model/kernel{VALUE}": 2}, graph)
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


@pytest.mark.parametrize("verify", [True, False])
def test_parts_of_what_a_plan_makes_are_read_as_parts(tmp_path: Path, verify: bool) -> None:
    array = np.arange(400, dtype=np.int32).reshape(200, 2)
    path = write_bundle(tmp_path / "c", {"w": array})
    names = ", ".join(f"'w{i}'" for i in range(100))
    split = f"[[step]]\nsplit = '^w$'\ninto = [{names}]\naxis = 0"
    first = ckptfmt.Plan.parse("version = 1\n[[step]]\ncast = 'w'\ndtype = 'int64'")
    second = ckptfmt.Plan.parse(f"version = 1\n[[step]]\nreshape = 'w'\nshape = [100, 4]\n{split}")
    with ckptfmt.open(path, verify=verify) as ckpt:
        asked: list[Any] = []
        read = ckpt._region
        ckpt._region = lambda name, region, **how: asked.append(region) or read(name, region, **how)  # type: ignore[method-assign]
        made = ckpt.apply(first).apply(second).read()
        assert asked == [None]  # all of it, once for all its parts
        for i in range(100):
            np.testing.assert_array_equal(made[f"w{i}"], array.reshape(100, 4)[i : i + 1])
        asked.clear()
        parts = ckpt.apply(first).apply(ckptfmt.Plan.parse(f"version = 1\n{split}"))
        np.testing.assert_array_equal(parts["w3"], array[6:8])
        assert asked == [((6, 8), (0, 2))]
