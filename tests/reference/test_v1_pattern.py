"""V1 files opened by a pattern are those that TensorFlow opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt import compat
from ckptfmt.errors import CkptfmtError
from tests.support.table_writer import write_bundle

tf = pytest.importorskip("tensorflow", reason="compares with TensorFlow, which is not installed")
pytestmark = pytest.mark.tensorflow


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def save(path: str, **tensors: Any) -> None:
    """Save a V1 file; a tensor is a value, or a value and where it belongs in the tensor."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pairs = [each if isinstance(each, tuple) else (each, "") for each in tensors.values()]
    tf.raw_ops.SaveSlices(
        filename=path,
        tensor_names=list(tensors),
        shapes_and_slices=[where for _, where in pairs],
        data=[tf.constant(value) for value, _ in pairs],
    )


def write_language_model() -> None:
    """Write files like those of the language model of the One Billion Word Benchmark."""
    save("lm/ckpt-base", step=np.int64(5), names=[b"a", b"bc"])
    save("lm/ckpt-lstm", kernel=np.ones((2, 3), np.float32))
    for i in range(3):
        save(f"lm/ckpt-softmax{i}", w=(np.full((2, 2), i, np.float32), f"6 2 {2 * i},2:-"))


PATTERNS = [
    *("lm/ckpt-*", "lm/*", "./lm/ckpt-*", "*/ckpt-*", "lm/ckpt-[bl]*", "lm/ckpt-[!s]*", "lm/ckpt-[^s]*"),
    *("lm/ckpt-????", "lm/ckpt-softmax?", "lm/ckpt-softmax[0-2]", "lm/ckpt-l*"),
]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_same_tensors_are_found(pattern: str, scheme: str, tmp_path: Path) -> None:
    write_language_model()
    path = f"{scheme}{tmp_path}/{pattern}" if scheme else pattern
    theirs, ours = tf.train.load_checkpoint(path), compat.load_checkpoint(path)
    assert ours.get_variable_to_shape_map() == theirs.get_variable_to_shape_map()
    with ckptfmt.open(path) as ckpt:
        assert ckpt.verify().ok
        for name in ckpt:
            if name == "w":  # TensorFlow's reader does not join slices, but its op does
                theirs_value = tf.raw_ops.Restore(file_pattern=path, tensor_name=name, dt=tf.float32).numpy()
            else:
                theirs_value = theirs.get_tensor(name)
            np.testing.assert_array_equal(ckpt[name], theirs_value)
            np.testing.assert_array_equal(ours.get_tensor(name), theirs_value)


@pytest.mark.parametrize(
    "other",
    [
        np.ones(2, np.float32),
        np.ones(3, np.float32),
        np.ones(2, np.int32),
        (np.ones(1, np.float32), "2 1,1"),
    ],
    ids=["the same", "another shape", "another dtype", "a part of it"],
)
def test_what_tensorflow_refuses_is_refused(other: Any) -> None:
    save("a-0", x=np.ones(2, np.float32), y=np.float32(1))
    save("a-1", x=other)
    for reader, error in (
        (tf.train.load_checkpoint, tf.errors.OpError),
        (compat.load_checkpoint, CkptfmtError),
    ):
        with pytest.raises(error):
            reader("a-*")


def test_v2_checkpoints_have_no_patterns() -> None:
    write_bundle("m-1")
    save("m-2", x=np.float32(1))
    for reader, error in (
        (tf.train.load_checkpoint, tf.errors.OpError),
        (compat.load_checkpoint, CkptfmtError),
    ):
        with pytest.raises(error):
            reader("m-*")
