"""Reading part of a tensor by a NumPy index."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import ckptfmt
from tests.support.golden import load


@pytest.fixture
def saver() -> ckptfmt.Checkpoint:
    return ckptfmt.open(load("saver").path)


@pytest.mark.parametrize(
    "case", ["sliced_shapes", "sliced_dtypes", "v1_sliced", "max_shard", "saver", "v1_whole"]
)
def test_slices_equal_numpys(case: str) -> None:
    ckpt = ckptfmt.open(load(case).path)
    for name, array in ckpt.items():
        reader = ckpt.slice(name)
        assert reader.shape == array.shape
        for index in (
            ...,
            *(
                [
                    0,
                    -1,
                    np.int64(0),
                    slice(None),
                    slice(1, None),
                    slice(None, None, 2),
                    slice(None, None, -1),
                    slice(-2, None),
                    slice(5, 2),
                    (..., 0),
                    (slice(1, 3), ...),
                    [1, 0, -1, 1],
                    np.array([0, 1]),
                    (np.arange(array.shape[0]) % 2 == 1, ...),
                    (..., [-1, 0]),
                ]
                if array.ndim and min(array.shape) > 1
                else []
            ),
        ):
            got, expected = reader[index], np.asarray(array[index], array.dtype)
            assert got.shape == expected.shape, (name, index)
            assert got.dtype == expected.dtype
            assert got.tolist() == expected.tolist() or got.tobytes() == expected.tobytes()
            assert not got.flags.writeable


def test_the_length_of_a_reader_of_slices_is_that_of_its_first_dimension(saver: ckptfmt.Checkpoint) -> None:
    name = next(name for name, entry in saver.entries.items() if len(entry.shape) == 2)
    assert len(saver.slice(name)) == saver[name].shape[0]
    with pytest.raises(TypeError, match="no length"):
        len(saver.slice("global_step"))


def test_a_reader_of_slices_is_an_array_to_numpy(saver: ckptfmt.Checkpoint) -> None:
    name = next(name for name, entry in saver.entries.items() if len(entry.shape) == 2)
    reader = saver.slice(name)
    assert reader.ndim == 2
    np.testing.assert_array_equal(np.asarray(reader), saver[name])
    assert np.array(reader, np.float64).dtype == np.float64
    assert np.asarray(saver.slice("global_step")).shape == ()
    with pytest.raises(TypeError, match="is a bool"):
        reader[True]
    assert reader.name == name
    assert (reader.size, reader.nbytes) == (saver[name].size, saver[name].nbytes)
    assert (saver.slice("global_step").size, saver.slice("global_step").nbytes) == (1, 8)


@pytest.mark.parametrize("case", ["saver", "sliced_shapes", "strings", "v1_sliced"])
def test_a_reader_of_slices_can_be_sent_to_another_process(case: str) -> None:
    with ckptfmt.open(load(case).path, backend="pread") as ckpt:
        for name, array in ckpt.items():
            for reader in (ckpt.slice(name), ckpt.renamed({"x": name}).slice("x")):
                copy = pickle.loads(pickle.dumps(reader))
                assert copy.entry == reader.entry
                np.testing.assert_array_equal(copy[...], array)
                assert copy.is_verified(...) == reader.is_verified(...)
