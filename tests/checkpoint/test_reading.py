"""Reading a tensor from its pieces: only those that a selection touches."""

from __future__ import annotations

from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.errors import ChecksumError, CorruptError
from tests.support.golden import Golden, GoldenTensor, cases, copied


@pytest.mark.parametrize(
    ("golden", "tensor"),
    [
        (golden, tensor)
        for golden in cases()
        for tensor in golden.tensors.values()
        if tensor.entry.get("pieces")
    ],
    ids=lambda value: value.name if isinstance(value, GoldenTensor) else value.case,
)
def test_regions_of_incomplete_tensors_read_if_their_slices_exist(
    golden: Golden, tensor: GoldenTensor
) -> None:
    ckpt = ckptfmt.open(golden.path)
    with pytest.raises(CorruptError):
        ckpt[tensor.name]
    for piece in tensor.pieces():
        index = []
        for item in piece.slice.split(":"):
            start, length = map(int, item.split(",")) if item != "-" else (0, None)
            index.append(slice(start, None if length is None else start + length))
        reader = ckpt.slice(tensor.name)
        if piece.value is not None:
            assert reader[tuple(index)].tolist() == piece.value.tolist()


def test_a_part_touches_only_the_slices_it_needs(tmp_path: Path) -> None:
    path = copied("sliced_shapes", tmp_path)
    ckpt = ckptfmt.open(path)
    sliced = [entry for entry in ckpt.entries.values() if len(entry.slices) > 1 and entry.dtype.itemsize]
    assert sliced
    entry = sliced[0]
    array = ckpt[entry.name]
    first, *_, last = (part.region(entry.shape) for part in entry.slices)
    # Damage every stored byte but those of the first slice: it alone must still read.
    index = tuple(slice(*bounds) for bounds in first)
    kept = array[index].tobytes()
    data = next(path.parent.glob("*.data-*"))
    content = data.read_bytes()
    at = content.index(kept)
    data.write_bytes(
        bytes(b ^ 0xFF for b in content[:at]) + kept + bytes(b ^ 0xFF for b in content[at + len(kept) :])
    )
    damaged = ckptfmt.open(path)
    assert damaged.slice(entry.name)[index].tobytes() == kept
    with pytest.raises(ChecksumError):
        damaged.slice(entry.name)[tuple(slice(*bounds) for bounds in last)]
    with pytest.raises(ChecksumError, match="slice"):
        damaged[entry.name]
