"""Patterns: V1 files with names of their own, opened together or alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt import compat
from ckptfmt.errors import CheckpointNotFoundError, CorruptError
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.table_writer import encode_v1, write_bundle
from tests.support.v1_files import v1_slice

LSTM = np.ones((2, 2), np.float32)
SOFTMAX = np.arange(6, dtype=np.float32)
FILES = {
    "ckpt-base": encode_v1({"lstm/W": LSTM}),
    **{f"ckpt-softmax{i}": v1_slice("softmax/W", 6, 2 * i, SOFTMAX[2 * i : 2 * i + 2]) for i in range(3)},
}


@pytest.fixture(autouse=True)
def files(folder: Path) -> None:
    for name, content in FILES.items():
        Path(name).write_bytes(content)


@pytest.mark.parametrize("pattern", ["ckpt-*", "./ckpt-*", "c?pt-*", "[a-c]kpt-*", "*-*", "ckpt-[^x]*"])
def test_the_files_are_one_checkpoint(pattern: str) -> None:
    with ckptfmt.open(pattern) as ckpt:
        assert ckpt.prefix == pattern
        assert ckpt.format == "v1"
        assert list(ckpt) == ["lstm/W", "softmax/W"]
        np.testing.assert_array_equal(ckpt["lstm/W"], LSTM)
        np.testing.assert_array_equal(ckpt["softmax/W"], SOFTMAX)
        np.testing.assert_array_equal(ckpt.slice("softmax/W")[1:5], SOFTMAX[1:5])
        assert ckpt.verify().ok
    for reader in (compat.NewCheckpointReader(pattern), compat.load_checkpoint(pattern)):
        assert reader.get_variable_to_shape_map() == {"lstm/W": [2, 2], "softmax/W": [6]}
        np.testing.assert_array_equal(reader.get_tensor("softmax/W"), SOFTMAX)


@pytest.mark.parametrize("root", ["/nowhere", "gs://bucket/lm_1b"])
def test_patterns_work_on_any_file_system(root: str) -> None:
    fs = MemoryFilesystem({f"{root}/{name}": content for name, content in FILES.items()})
    for pattern in (f"{root}/ckpt-*", f"{root.replace('no', 'n*')}/ckpt-*"):
        np.testing.assert_array_equal(ckptfmt.open(pattern, fs=fs)["softmax/W"], SOFTMAX)


def test_a_directory_may_match() -> None:
    for i, name in enumerate(("x", "y")):
        Path(f"part{i}").mkdir()
        Path(f"part{i}", "values").write_bytes(encode_v1({name: LSTM}))
    assert list(ckptfmt.open("part*/values")) == ["x", "y"]


def test_a_directory_that_exists_is_taken_literally() -> None:
    Path("run[1]").mkdir()
    Path("run[1]", "ckpt-a").write_bytes(encode_v1())
    assert list(ckptfmt.open("run[1]/ckpt-*")) == ["w"]


def test_a_file_of_that_name_comes_first() -> None:
    Path("ckpt-*").write_bytes(encode_v1())
    assert list(ckptfmt.open("ckpt-*")) == ["w"]


def test_graphs_state_files_and_unfinished_files_do_not_count() -> None:
    for name in ("ckpt-base.meta", "ckpt-x.tempstate7"):
        Path(name).write_bytes(b"x")
    Path("checkpoint").write_text('model_checkpoint_path: "ckpt-base"')
    Path(".ckpt-hidden").write_bytes(b"x")
    assert len(ckptfmt.open("*")) == 2


def test_a_set_of_shards_is_the_checkpoint_that_it_always_was() -> None:
    for i in range(2):
        Path(f"s-{i:05d}-of-00003").write_bytes(encode_v1({f"x{i}": LSTM}))
    assert ckptfmt.open("s-*").prefix == "s-?????-of-00003"
    assert list(ckptfmt.open("s-0000[1]-*")) == ["x1"]


def test_other_files_are_named() -> None:
    Path("ckpt-words.txt").write_text("words")
    with pytest.raises(CheckpointNotFoundError, match=r"not of V1 checkpoints: ckpt-words\.txt; name"):
        ckptfmt.open("ckpt-*")


def test_v2_checkpoints_are_named_and_not_opened() -> None:
    write_bundle("ckpt-1")
    with pytest.raises(CheckpointNotFoundError, match="matches besides V1 files ckpt-1; name one checkpoint"):
        ckptfmt.open("ckpt-*")
    write_bundle("model-1")
    write_bundle("model-2")
    for pattern in ("model-*", "model-*.index", "m[o]del-*-of-*"):
        with pytest.raises(CheckpointNotFoundError, match="this one matches model-1, model-2; name one"):
            ckptfmt.open(pattern)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (encode_v1({"w": LSTM}), "a, b hold the same part of it"),
        (encode_v1({"w": LSTM[0]}), r"got float32\[2\] in this file, want float32\[2, 2\] as in a"),
        (encode_v1({"w": LSTM.astype(np.int32)}), r"got int32\[2, 2\] in this file, want float32"),
    ],
)
def test_files_that_hold_the_same_tensor_are_no_checkpoint(other: bytes, message: str) -> None:
    Path("a").write_bytes(encode_v1({"w": LSTM}))
    Path("b").write_bytes(other)
    with pytest.raises(CorruptError, match=message):
        ckptfmt.open("[ab]")


def test_a_file_alone_names_those_with_the_rest() -> None:
    with pytest.raises(CorruptError) as caught:
        ckptfmt.open("ckpt-softmax0")["softmax/W"]
    assert "ckpt-softmax1, ckpt-softmax2 hold more of it: open 'ckpt-softmax*'" in str(caught.value)
    np.testing.assert_array_equal(ckptfmt.open("ckpt-softmax*")["softmax/W"], SOFTMAX)


def test_a_file_without_siblings_names_none() -> None:
    Path("alone").mkdir()
    os.rename("ckpt-softmax0", "alone/ckpt-softmax0")
    with pytest.raises(CorruptError, match="uncovered") as caught:
        ckptfmt.open("alone/ckpt-softmax0")["softmax/W"]
    assert "more of it" not in str(caught.value)


def test_a_name_in_a_missing_shard_is_not_called_unknown() -> None:
    for i in (0, 2):
        Path(f"s-{i:05d}-of-00003").write_bytes(encode_v1({f"x{i}5": LSTM}))
    ckpt = ckptfmt.open("s-?????-of-00003")
    for ask in (
        lambda: ckpt["x15"],
        lambda: ckpt.entries["x15"],
        lambda: ckpt.slice("x15"),
        lambda: ckpt.read(["x05", "x15"]),
    ):
        with pytest.raises(KeyError) as caught:
            ask()
        assert "no tensor named 'x15' in the files that exist, but s-00001-of-00003 is missing" in str(
            caught.value
        )
        assert "did you mean" not in str(caught.value)
