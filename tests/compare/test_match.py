"""``ckptfmt.match``: tensors that match, are missing, are unused, or have another shape or dtype."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt import Spec
from ckptfmt.dtypes import DTYPES
from ckptfmt.errors import CkptfmtError, CorruptError, NotConsumedError
from tests.support import corpus
from tests.support.table_writer import write_bundle

FLOAT, INT64 = DTYPES[1], DTYPES[9]

TENSORS = {
    "dense/bias": np.zeros(4, np.float32),
    "dense/kernel": np.zeros((3, 4), np.float32),
    "global_step": np.int64(7),
}


@pytest.fixture
def stored(tmp_path: Path) -> str:
    return write_bundle(tmp_path / "model", {name: np.asarray(array) for name, array in TENSORS.items()})


def test_arrays_of_the_same_names_shapes_and_dtypes_match(stored: str) -> None:
    match = ckptfmt.match(stored, TENSORS)
    assert match.ok
    assert match.matched == {name: name for name in TENSORS}
    match.assert_consumed()


def test_what_does_not_match_is_an_error_that_names_the_checkpoint(stored: str) -> None:
    for checkpoint in (stored, ckptfmt.open(stored), ckptfmt.open(stored).select("dense/*")):
        match = ckptfmt.match(checkpoint, {"other": np.zeros(2)})
        with pytest.raises(NotConsumedError, match="1 missing") as caught:
            match.assert_existing_objects_matched()
        assert (match.file, caught.value.file) == (stored, stored)


def test_mismatches_are_listed_by_kind(stored: str) -> None:
    match = ckptfmt.match(
        stored,
        {
            "dense/bias": np.zeros((4, 1), np.float32),
            "dense/kernel": np.zeros((3, 4), np.float16),
            "other": np.zeros(2, np.float32),
        },
    )
    assert list(match.matched) == []
    assert match.missing == ["other"]
    assert match.unused == ["global_step"]
    assert [(m.name, m.got.shape, m.want.shape) for m in match.wrong_shape] == [("dense/bias", (4,), (4, 1))]
    assert [(m.name, m.got.dtype, m.want.dtype) for m in match.wrong_dtype] == [
        ("dense/kernel", "float32", "float16")
    ]
    with pytest.raises(NotConsumedError):
        match.assert_existing_objects_matched()


def test_a_mismatch_of_both_shape_and_dtype_is_in_both_lists(stored: str) -> None:
    match = ckptfmt.match(stored, {"dense/bias": np.zeros((), np.int32)})
    assert [m.name for m in match.wrong_shape] == [m.name for m in match.wrong_dtype] == ["dense/bias"]


def test_a_scalar_does_not_match_a_vector_of_one_element(stored: str) -> None:
    assert ckptfmt.match(stored, {"global_step": (1,)}).wrong_shape
    assert "global_step" in ckptfmt.match(stored, {"global_step": ()}).matched


def test_unused_tensors_are_fine_if_only_a_part_is_expected(stored: str) -> None:
    match = ckptfmt.match(stored, {"dense/bias": (4,)})
    assert match.restorable
    assert not match.ok
    assert match.unused == ["dense/kernel", "global_step"]
    with pytest.raises(NotConsumedError, match="2 unused"):
        match.assert_consumed()


@pytest.mark.parametrize(
    "wanted",
    [
        [3, 4],
        (3, 4),
        (None, 4),
        Spec(FLOAT, (3, 4)),
        Spec(None, None),
        Spec(FLOAT, (3, None)),
        np.zeros((3, 4), ">f4"),
        SimpleNamespace(shape=(3, 4), dtype="float32"),
        SimpleNamespace(shape=(3, 4), dtype=np.float32),
        SimpleNamespace(shape=(None, None), dtype=FLOAT),
    ],
    ids=str,
)
def test_a_spec_may_come_from_any_library(stored: str, wanted: Any) -> None:
    assert ckptfmt.match(stored, {"dense/kernel": wanted}).matched == {"dense/kernel": "dense/kernel"}


def test_nested_mappings_are_flattened(stored: str) -> None:
    nested = {"dense": {"kernel": (3, 4), "bias": (4,)}, "global_step": ()}
    assert ckptfmt.match(stored, nested).ok


@pytest.mark.parametrize("wanted", [3, None, "shape", [3, "4"], object], ids=repr)
def test_the_error_for_a_value_without_a_shape_names_it(stored: str, wanted: Any) -> None:
    with pytest.raises(TypeError, match="dense/kernel"):
        ckptfmt.match(stored, {"dense/kernel": wanted})


def test_other_types_of_expectation_are_an_error(stored: str) -> None:
    with pytest.raises(TypeError, match="expected"):
        ckptfmt.match(stored, 5)  # type: ignore[arg-type]


def test_views_on_both_sides_count_by_their_names(stored: str) -> None:
    with ckptfmt.open(stored) as checkpoint:
        view = checkpoint.renamed({"w": "dense/kernel"})
        match = ckptfmt.match(view, {"w": (3, 4)})
        assert match.matched == {"w": "w"}
        assert match.ok
        back = ckptfmt.match(stored, view)
        assert (back.missing, len(back.unused)) == (["w"], 3)
        assert ckptfmt.match(checkpoint, checkpoint).ok


def test_a_safetensors_file_is_recognised_by_its_content(stored: str, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "model.bin"
    safetensors.save_file({"dense/kernel": np.zeros((3, 4), np.float32), "x": np.zeros(2, np.int8)}, path)
    match = ckptfmt.match(stored, path)
    assert match.matched == {"dense/kernel": "dense/kernel"}
    assert match.wanted["x"] == Spec(DTYPES[6], (2,))


def test_a_damaged_safetensors_file_is_corrupt(stored: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    path = tmp_path / "model.safetensors"
    path.write_bytes((12).to_bytes(8, "little") + b'{"a": [1, 2')
    with pytest.raises(CkptfmtError):
        ckptfmt.match(stored, path)
    path.write_bytes((12).to_bytes(8, "little") + b'{"a": [1, 2}')
    with pytest.raises(CorruptError, match="safetensors"):
        ckptfmt.match(stored, path)


META = ["assoc_lstm_v1/save-60000", "unique_mnist/model.ckpt-20000", "recall_model/model.ckpt-0"]


@pytest.mark.corpus
@pytest.mark.parametrize("name", META)
def test_a_checkpoint_matches_the_meta_file_beside_it(name: str, tmp_path: Path) -> None:
    prefix = corpus.CORPUS / name
    meta = Path(f"{prefix}.meta")
    if not meta.is_file():
        pytest.skip("not in the corpus")
    match = ckptfmt.match(prefix, meta)
    assert match.ok, str(match)
    # Recognised by its content, whatever its name.
    copy = tmp_path / "graph.bin"
    copy.write_bytes(meta.read_bytes())
    assert ckptfmt.match(prefix, copy).ok


@pytest.mark.parametrize("entry", corpus.entries(*corpus.CHECKPOINT_KINDS))
def test_every_checkpoint_matches_itself(entry: dict[str, Any]) -> None:
    if not corpus.has_variables(entry):
        pytest.skip("no variables")
    try:
        checkpoint = ckptfmt.open(corpus.CORPUS / entry["path"])
        list(checkpoint.entries.values())
    except CkptfmtError as error:
        pytest.skip(f"not readable: {error}")
    with checkpoint:
        match = ckptfmt.match(checkpoint, checkpoint)
        assert match.restorable, str(match)
        assert match.unused == []
