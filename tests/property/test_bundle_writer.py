"""What is written is read: tensors of every dtype, entries, strings and variants, tables of any blocks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

import ckptfmt
from ckptfmt.arrays.encode import encode_variant
from ckptfmt.arrays.raw import decode_raw, encode_pieces
from ckptfmt.checkpoint.entry import (
    Entry,
    decode_entry,
    encode_entries,
    encode_entry,
    encode_head,
    encode_sliced_entry,
)
from ckptfmt.checkpoint.slice_specs import as_slice, parse_slice, parse_spec
from ckptfmt.checkpoint.slices import TensorSlice, whole, within
from ckptfmt.checkpoint.stored_form import StoredForm
from ckptfmt.checkpoint.strings import decode_strings, decode_variants, encode_strings, encode_variants
from ckptfmt.dtypes import BY_NAME, DTYPES, DType, Storage
from ckptfmt.table import Table
from ckptfmt.table.writer import write_sorted_batches, write_sorted_table
from ckptfmt.types import Variant
from ckptfmt.wire.coding import decode_varints, encode_varint, encode_varints
from ckptfmt.wire.crc32c import crc32c
from tests.support.memory_filesystem import MemoryFile, MemoryFilesystem
from tests.support.slices import EXTENTS, tilings

NUMBERS = [dtype for dtype in DTYPES.values() if dtype.itemsize is not None]
SHAPES = stn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
NAMES = st.text(min_size=1, max_size=30).filter(lambda name: name[0] != "\0" and name.isprintable())
UINT64 = st.integers(0, 2**64 - 1) | st.integers(0, 64).map(lambda bits: 2**bits - 1)
INT63 = st.integers(0, 2**63 - 1) | st.integers(0, 63).map(lambda bits: 2**bits - 1) | st.just(0)


@st.composite
def numbers(draw: st.DrawFn) -> tuple[DType, np.ndarray]:
    """An array of a dtype that is stored in a fixed number of bytes, in any layout and byte order."""
    dtype, shape = draw(st.sampled_from(NUMBERS)), draw(SHAPES)
    data = draw(stn.arrays(np.uint8, (*shape, dtype.numpy.itemsize)))
    if dtype.name == "bool":
        data %= 2
    if dtype.storage is Storage.LOW_BITS:
        data %= 1 << dtype.bits
    array = np.frombuffer(data.tobytes(), dtype.numpy).reshape(shape)
    layout = draw(st.sampled_from(["C", "F", "reversed", "broadcast", "swapped"]))
    if layout == "F":
        array = np.asfortranarray(array)
    elif layout == "reversed" and shape:
        array = np.ascontiguousarray(array[::-1])[::-1]
    elif layout == "broadcast":
        array = np.broadcast_to(array, (2, *shape))
    elif layout == "swapped" and dtype.numpy.kind in "iufc":
        array = array.astype(dtype.numpy.newbyteorder(">"))
    return dtype, array


def bits_of(array: np.ndarray, dtype: DType) -> bytes:
    """The bits of each element that count, so that NaNs can be compared."""
    native = array.astype(dtype.numpy).tobytes()
    return bytes(byte & (1 << dtype.bits) - 1 for byte in native) if dtype.bits else native


def stored_bytes(form: StoredForm) -> bytes:
    """The bytes of a form; its size and CRC are those of the bytes."""
    data = b"".join(map(bytes, (*form.head, *form.content)))
    assert len(data) == form.size
    return data


# --- tensors -------------------------------------------------------------------------------------------


@given(numbers())
def test_raw_bytes(drawn: tuple[DType, np.ndarray]) -> None:
    dtype, array = drawn
    data = b"".join(map(bytes, encode_pieces(array, dtype)))
    assert len(data) == array.size * dtype.numpy.itemsize
    assert bits_of(decode_raw(data, dtype, array.shape), dtype) == bits_of(array, dtype)


STRINGS = stn.arrays(object, SHAPES, elements=st.binary(max_size=200) | st.text(max_size=50))


@given(STRINGS | stn.arrays("S5", SHAPES) | stn.arrays("U5", SHAPES))
def test_strings(values: np.ndarray) -> None:
    form = encode_strings(values)
    crc, data = form.crc, b"".join(map(bytes, form.head))
    for piece in form.content:
        crc, data = crc32c(piece, crc), data + bytes(piece)
    assert len(data) == form.size
    decoded, decoded_crc = decode_strings(data, values.shape)
    assert decoded_crc == crc
    want = [value.encode() if isinstance(value, str) else value for value in values.ravel().tolist()]
    assert decoded.ravel().tolist() == want


TENSORS = stn.arrays(np.float32, SHAPES) | stn.arrays(np.int64, SHAPES) | stn.arrays(np.bool_, SHAPES)
VARIANTS = st.recursive(
    st.builds(
        Variant, st.text(max_size=10), st.binary(max_size=20), st.lists(TENSORS, max_size=3).map(tuple)
    ),
    lambda inner: st.builds(
        lambda values: Variant("list", b"", (as_objects(values),)), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=4,
)


def as_objects(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def as_tuples(variant: Variant) -> tuple[Any, ...]:
    """What a variant holds, so that it can be compared."""
    tensors = [
        [as_tuples(each) for each in tensor.ravel()]
        if tensor.dtype.hasobject
        else (tensor.dtype.name, tensor.shape, tensor.tobytes())
        for tensor in variant.tensors
    ]
    return variant.type_name, variant.metadata, tensors


@given(st.lists(VARIANTS, max_size=4))
def test_variants(values: list[Variant]) -> None:
    form = encode_variants([encode_variant(value).SerializeToString() for value in values])
    decoded, crc = decode_variants(stored_bytes(form), (len(values),))
    assert crc == form.crc
    assert list(map(as_tuples, decoded)) == list(map(as_tuples, values))


@settings(max_examples=40)
@given(
    st.dictionaries(NAMES, numbers() | STRINGS.map(lambda values: (BY_NAME["string"], values)), max_size=40),
    st.sampled_from([{}, {"num_shards": 3}, {"max_shard_bytes": 50}, {"alignment": 8}]),
    st.sampled_from([{}, {"block_size": 1}, {"block_size": 80, "compression": "snappy"}]),
    st.booleans(),
)
def test_checkpoints(
    drawn: dict[str, tuple[DType, np.ndarray]],
    shards: dict[str, Any],
    table: dict[str, Any],
    together: bool,
) -> None:
    fs = MemoryFilesystem()
    with ckptfmt.CheckpointWriter("ckpt", fs=fs, **shards, **table) as writer:
        if together:
            dtypes = {name: dtype for name, (dtype, _) in drawn.items()}
            writer.add_all({name: array for name, (_, array) in drawn.items()}, dtypes=dtypes)
        else:
            for name, (dtype, array) in drawn.items():
                writer.add(name, array, dtype=dtype)
    with ckptfmt.open("ckpt", fs=fs) as ckpt:
        assert ckpt.verify().ok
        assert set(ckpt) == drawn.keys()
        for name, (dtype, array) in drawn.items():
            entry, read = ckpt.entries[name], ckpt[name]
            assert (entry.dtype, entry.shape) == (dtype, array.shape)
            if dtype.itemsize is not None:
                assert bits_of(read, dtype) == bits_of(array, dtype)


@settings(max_examples=40)
@given(tilings(), st.integers(1, 3), st.data())
def test_slices(
    tiling: tuple[tuple[int, ...], list[TensorSlice]], num_shards: int, data: st.DataObject
) -> None:
    shape, parts = tiling
    array = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
    fs = MemoryFilesystem()
    with ckptfmt.CheckpointWriter("ckpt", fs=fs, num_shards=num_shards) as writer:
        for part in data.draw(st.permutations(parts)):
            values = array[within(part.region(shape), whole(shape))]
            how = data.draw(st.sampled_from([part, str(part), part.extents]))
            writer.add_slice("t", shape, how, values)
    with ckptfmt.open("ckpt", fs=fs) as ckpt:
        assert ckpt.verify().ok
        assert np.array_equal(ckpt["t"], array)


# --- the index -----------------------------------------------------------------------------------------

ENTRIES = st.tuples(
    st.sampled_from(list(DTYPES.values())),
    st.lists(st.integers(0, 1000), max_size=5).map(tuple),
    st.integers(0, 2**31 - 1) | st.integers(0, 3),
    INT63,
    INT63,
    st.integers(0, 2**32 - 1),
)


@given(st.lists(ENTRIES, max_size=30))
def test_entries(entries: list[tuple[DType, tuple[int, ...], int, int, int, int]]) -> None:
    one_by_one = [encode_entry(*entry) for entry in entries]
    for (dtype, shape, shard, offset, size, crc), value in zip(entries, one_by_one, strict=True):
        assert decode_entry("t", value) == Entry("t", dtype, shape, size, shard, offset, crc, ())
    heads = [encode_head(dtype, shape) for dtype, shape, *_ in entries]
    columns = np.array([entry[2:] for entry in entries], np.uint64).reshape(-1, 4)
    assert encode_entries(heads, columns) == one_by_one


@given(
    st.sampled_from(NUMBERS),
    st.integers(0, 5),
    st.lists(st.lists(EXTENTS, max_size=3), min_size=1, max_size=5),
)
def test_entries_of_tensors_in_slices(dtype: DType, shard: int, extents: list[Any]) -> None:
    slices = tuple(TensorSlice(tuple(each)) for each in extents)
    entry = decode_entry("t", encode_sliced_entry(dtype, (4, 2), shard, slices))
    assert (entry.dtype, entry.shape, entry.slices) == (dtype, (4, 2), slices)


@given(tilings())
def test_texts_of_slices(tiling: tuple[tuple[int, ...], list[TensorSlice]]) -> None:
    shape, parts = tiling
    for part in parts:
        assert parse_slice(str(part)) == part
        assert as_slice(part.extents, shape) == as_slice(str(part), shape) == (part, part.region(shape))
        if shape:
            assert parse_spec(f"{' '.join(map(str, shape))} {part}") == (shape, part.region(shape))


@given(st.lists(UINT64, max_size=40))
def test_varints(values: list[int]) -> None:
    data = encode_varints(np.array(values, np.uint64))
    assert data == b"".join(map(encode_varint, values))
    if values:
        decoded, end = decode_varints(data, len(values))
        assert (decoded.tolist(), end) == (values, len(data))


KEYS = st.binary(max_size=12) | st.integers(0, 600).map(lambda size: b"k" * size)
ITEMS = st.dictionaries(KEYS, st.binary(max_size=300), max_size=80).map(lambda items: sorted(items.items()))


@given(ITEMS, st.lists(st.integers(0, 80), max_size=4), st.sampled_from([1, 30, 300, 262144]))
def test_tables_in_batches(items: list[tuple[bytes, bytes]], cuts: list[int], block_size: int) -> None:
    fs = MemoryFilesystem()
    edges = [0, *sorted(min(cut, len(items)) for cut in cuts), len(items)]
    batches = [items[start:stop] for start, stop in itertools.pairwise(edges)]
    with fs.create("batches") as output:
        pairs = (([key for key, _ in some], [value for _, value in some]) for some in batches)
        write_sorted_batches(output, pairs, block_size=block_size)
    with fs.create("items") as output:
        write_sorted_table(output, items, block_size=block_size)
    content = fs.open("batches").content
    assert content == fs.open("items").content
    assert list(Table(MemoryFile("table", content)).items()) == items
