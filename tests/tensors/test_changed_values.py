"""Views with converted tensors, and views with values of the caller."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt import Checkpoint
from ckptfmt.errors import TensorNotFoundError


@pytest.fixture
def mixed(tmp_path: Path) -> Checkpoint:
    tensors = {
        "w": np.array([1.5, 2.5], np.float32),
        "w/Adam": np.array([0.5, 0.25], np.float64),
        "half": np.array([1], np.float16),
        "step": np.array(3, np.int64),
        "small": np.array([1, 2], np.int8),
    }
    return ckptfmt.open(ckptfmt.save(tmp_path / "mixed", tensors))


def dtypes(tensors: Any) -> dict[str, str]:
    return {name: entry.dtype.name for name, entry in tensors.entries.items() if name[0] != "_"}


def test_floating_point_tensors_are_converted_and_others_stay(mixed: Checkpoint) -> None:
    view = mixed.cast("bfloat16")
    assert dtypes(view) == {
        "half": "bfloat16",
        "small": "int8",
        "step": "int64",
        "w": "bfloat16",
        "w/Adam": "bfloat16",
    }
    assert view["w"].dtype == ml_dtypes.bfloat16
    assert view["w"].tolist() == [1.5, 2.5]
    assert view.entries["w"].nbytes == 4
    assert not view["w"].flags.writeable
    assert view.slice("w")[1:].tolist() == [2.5]
    assert view.read(["w", "step"])["w"].dtype == ml_dtypes.bfloat16


def test_a_kind_is_converted_to_its_kind(mixed: Checkpoint) -> None:
    assert dtypes(mixed.cast(np.int32)) | {"step": "", "small": ""} == dtypes(mixed) | {
        "step": "",
        "small": "",
    }
    assert dtypes(mixed.cast(np.int32))["step"] == "int32"
    for wrong in ("string", "bool", "qint8", "resource"):
        with pytest.raises(ValueError, match="want one of numbers"):
            mixed.cast(wrong)
    with pytest.raises(TypeError):
        mixed.cast("float31")


def test_patterns_say_what_is_converted(mixed: Checkpoint) -> None:
    changed = {n for n, d in dtypes(mixed.cast("bfloat16", only="w*")).items() if d == "bfloat16"}
    assert changed == {"w", "w/Adam"}
    changed = {n for n, d in dtypes(mixed.cast("bfloat16", exclude=["*/Adam"])).items() if d == "bfloat16"}
    assert changed == {"half", "w"}
    with pytest.raises(TensorNotFoundError, match="did you mean"):
        mixed.cast("bfloat16", only="haif")


def test_a_converted_tensor_stays_the_variable_that_it_is(mixed: Checkpoint) -> None:
    view = mixed.cast("float16")
    assert view.stored_name("w") == "w"
    assert list(view.model_variables()) == list(mixed.model_variables())
    assert list(view.weights) == list(mixed.weights)
    assert view.renamed({"v": "w"}).stored_name("v") == "w"
    assert pickle.loads(pickle.dumps(view))["w"].dtype == np.float16


def test_values_are_replaced(mixed: Checkpoint) -> None:
    view = mixed.updated({"w": np.array([7.0, 8.0, 9.0]), "step": 5})
    assert view["w"].tolist() == [7, 8, 9]
    assert dtypes(view) == dtypes(mixed)
    assert view["step"] == 5
    assert view.entries["w"].shape == (3,)
    assert view.entries["w"].nbytes == 12
    assert view["half"].tolist() == [1]
    assert list(view) == list(mixed)
    assert view.slice("w")[1:].tolist() == [8, 9]
    assert view.stored_name("w") == "w"
    assert pickle.loads(pickle.dumps(view))["w"].tolist() == [7, 8, 9]


def test_a_name_that_does_not_exist_is_added_only_on_request(mixed: Checkpoint) -> None:
    with pytest.raises(TensorNotFoundError, match=r"did you mean 'half'.*add=True") as caught:
        mixed.updated({"haif": 1.0})
    assert caught.value.names == ("haif",)
    view = mixed.updated({"new": {"labels": ["a", b"bc"], "x": 1.5}}, add=True)
    assert view["new/labels"].tolist() == [b"a", b"bc"]
    assert view.entries["new/labels"].nbytes == 3
    assert view["new/x"].dtype == np.float32
    assert view.stored_name("new/x") is None
    assert "new/x" in view.model_variables()


def test_a_value_of_another_kind_is_an_error(mixed: Checkpoint) -> None:
    for wrong in ({"step": np.array(1.5)}, {"w": "text"}, {"step": 1.5}):
        with pytest.raises(TypeError, match="new value of tensor"):
            mixed.updated(wrong)
    with pytest.raises(ValueError, match="want those of int8"):
        mixed.updated({"small": np.array([1000])})


def test_such_views_stack_and_are_saved(mixed: Checkpoint, tmp_path: Path) -> None:
    view = mixed.updated({"w": [1, 2]}).cast("float16").renamed([("^w$", "v")]).updated({"half": [3]})
    copy = ckptfmt.open(ckptfmt.save(tmp_path / "new", view))
    assert dtypes(copy) == {
        "half": "float16",
        "small": "int8",
        "step": "int64",
        "v": "float16",
        "w/Adam": "float16",
    }
    assert (copy["v"].tolist(), copy["half"].tolist(), copy["step"].tolist()) == ([1, 2], [3], 3)
    names = sorted(copy.entries, key=lambda name: (copy.entries[name].offset, copy.entries[name].nbytes))
    assert names[:2] == ["v", "w/Adam"]  # the order of the source
