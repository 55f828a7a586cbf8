"""Random checkpoints are copied: identical as they are, and equal under other names and in other files."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfmt
from tests.support.memory_filesystem import MemoryFilesystem

LETTERS = st.characters(exclude_categories=["Cs"])
NAMES = st.text(LETTERS, min_size=1, max_size=8).filter(lambda name: name[0] != "\0")
DTYPES = st.sampled_from(["float32", "int8", "bool", "float64", "bfloat16", "string"])
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)


@st.composite
def checkpoints(draw: st.DrawFn) -> tuple[MemoryFilesystem, dict[str, Any]]:
    """Draw a checkpoint "c", and its values."""
    fs = MemoryFilesystem(has_views=draw(st.booleans()))
    num_shards = draw(st.integers(1, 3))
    values = {}
    with ckptfmt.CheckpointWriter("c", num_shards=num_shards, fs=fs) as writer:
        for name in draw(st.lists(NAMES, max_size=8, unique=True)):
            dtype, shape = draw(DTYPES), draw(SHAPES)
            count = int(np.prod(shape))
            numbers = np.arange(count).reshape(shape) % 2
            array = numbers.astype(bytes).astype(object) if dtype == "string" else numbers
            array = values[name] = ckptfmt.to_array(ckptfmt.to_proto(array, dtype))
            if shape and shape[0] > 1 and count and draw(st.booleans()):
                cut = draw(st.integers(1, shape[0] - 1))
                for part in draw(st.permutations([slice(0, cut), slice(cut, shape[0])])):
                    rest = [slice(None)] * (len(shape) - 1)
                    shard = draw(st.integers(0, num_shards - 1))
                    writer.add_slice(name, shape, [part, *rest], array[part], dtype=dtype, shard=shard)
            else:
                writer.add(name, array, dtype=dtype, shard=draw(st.integers(0, num_shards - 1)))
    return fs, values


def contents(fs: MemoryFilesystem, prefix: str) -> dict[str, bytes]:
    names = fs.list_directory("").files
    return {each[len(prefix) :]: fs.open(each).content for each in names if each.startswith(prefix + ".")}


@settings(max_examples=100, deadline=None)
@given(checkpoints(), st.integers(1, 4), st.integers(1, 200))
def test_copies(drawn: tuple[MemoryFilesystem, dict[str, Any]], num_shards: int, max_bytes: int) -> None:
    fs, values = drawn
    ckpt = ckptfmt.open("c", fs=fs)
    ckptfmt.save("same", ckpt, fs=fs)
    assert contents(fs, "same") == contents(fs, "c")
    ckptfmt.save("cut", ckpt.renamed(lambda name: f"new/{name}"), num_shards=num_shards, fs=fs)
    ckptfmt.save("parts", ckpt.renamed(lambda name: f"new/{name}"), max_shard_bytes=max_bytes, fs=fs)
    for prefix in ("cut", "parts"):
        copy = ckptfmt.open(prefix, fs=fs)
        assert copy.verify().problems == []
        assert {name.removeprefix("new/") for name in copy} == set(values)
        for name, value in values.items():
            assert copy[f"new/{name}"].tolist() == value.tolist()
            assert copy.entries[f"new/{name}"].slices == ckpt.entries[name].slices
