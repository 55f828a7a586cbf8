"""Laws: encoding and decoding are inverse, order is kept, and whatever does not fit is an error."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

import ckptfmt.arrays.strings
from ckptfmt.arrays.raw import decode_raw
from ckptfmt.checkpoint.checks import Checks
from ckptfmt.checkpoint.entry import Entry, decode_entry, key_of, name_of
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.checkpoint.partition import plan
from ckptfmt.checkpoint.reading import read_selection, read_tensor
from ckptfmt.checkpoint.selection import select
from ckptfmt.checkpoint.slices import (
    FULL,
    TensorSlice,
    decode_slice,
    decode_slice_key,
    encode_slice_key,
    region_shape,
    whole,
    within,
)
from ckptfmt.checkpoint.store import Store
from ckptfmt.checkpoint.strings import decode_strings
from ckptfmt.dtypes import DTYPES, Storage
from ckptfmt.errors import CkptfmtError, CorruptError
from ckptfmt.proto import messages
from ckptfmt.table import Table
from ckptfmt.table.block import Block
from ckptfmt.wire.coding import decode_varint, decode_varints, encode_varint
from ckptfmt.wire.crc32c import crc32c, mask, unmask
from ckptfmt.wire.fields import FIXED32, FIXED64, LENGTH_DELIMITED, VARINT, decode_fields, find_fields
from ckptfmt.wire.ordered_code import (
    decode_snum,
    decode_string,
    decode_unum,
    encode_snum,
    encode_string,
    encode_unum,
)
from tests.support.memory_filesystem import MemoryFile, open_bundle
from tests.support.slices import EXTENTS, SHAPES, tilings
from tests.support.table_writer import HEADER, encode_block, encode_entry, encode_field, encode_table

UINT64 = st.integers(0, 2**64 - 1) | st.integers(0, 64).map(lambda bits: 2**bits - 1)
INT64 = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 63).map(lambda bits: -(2**bits))
KEYS = st.binary(max_size=12) | st.lists(st.sampled_from([b"\x00", b"\xff", b"a", b"\x01"]), max_size=8).map(
    b"".join
)


# --- numbers -------------------------------------------------------------------------------------------


@given(UINT64, st.binary(max_size=3), st.binary(max_size=3))
def test_a_varint_decodes_to_itself_wherever_it_lies(value: int, before: bytes, after: bytes) -> None:
    code = encode_varint(value)
    assert decode_varint(before + code + after, len(before)) == (value, len(before) + len(code))


@given(st.lists(UINT64, max_size=50), st.binary(max_size=12))
def test_many_varints_at_once_are_those_one_by_one(values: list[int], after: bytes) -> None:
    data = b"".join(map(encode_varint, values)) + after
    decoded, end = decode_varints(data, len(values))
    assert decoded.tolist() == values
    assert end == len(data) - len(after)


@given(st.binary(max_size=40), st.integers(0, 12))
def test_many_varints_at_once_fail_where_one_by_one_fails(data: bytes, count: int) -> None:
    try:
        pos, expected = 0, []
        for _ in range(count):
            value, pos = decode_varint(data, pos)
            expected.append(value)
    except CorruptError:
        with pytest.raises(CorruptError):
            decode_varints(data, count)
        return
    values, end = decode_varints(memoryview(data), count)
    assert (values.tolist(), end) == (expected, pos)


@given(st.integers(0, 2**32 - 1))
def test_a_crc_unmasks_to_itself(crc: int) -> None:
    assert unmask(mask(crc)) == crc


# --- ordered code --------------------------------------------------------------------------------------


@given(UINT64, UINT64)
def test_ordered_unsigned_integers_decode_to_themselves_and_sort_like_them(a: int, b: int) -> None:
    assert decode_unum(encode_unum(a) + b"\xff", 0) == (a, len(encode_unum(a)))
    assert (encode_unum(a) < encode_unum(b)) == (a < b)


@given(INT64, INT64)
def test_ordered_signed_integers_decode_to_themselves_and_sort_like_them(a: int, b: int) -> None:
    assert decode_snum(encode_snum(a) + b"\xff", 0) == (a, len(encode_snum(a)))
    assert (encode_snum(a) < encode_snum(b)) == (a < b)


@given(KEYS, KEYS, st.binary(max_size=3))
def test_ordered_strings_decode_to_themselves_and_sort_like_them(a: bytes, b: bytes, after: bytes) -> None:
    assert decode_string(encode_string(a) + after, 0) == (a, len(encode_string(a)))
    assert (encode_string(a) < encode_string(b)) == (a < b)


@given(st.binary(max_size=14))
def test_any_bytes_are_an_ordered_code_or_an_error(data: bytes) -> None:
    for decode, encode in (
        (decode_unum, encode_unum),
        (decode_snum, encode_snum),
        (decode_string, encode_string),
    ):
        try:
            value, end = decode(data, 0)
        except CorruptError:
            continue
        assert end <= len(data)
        assert decode(encode(value), 0)[0] == value


# --- fields --------------------------------------------------------------------------------------------

FIELD = st.tuples(st.integers(1, 20), st.sampled_from([VARINT, FIXED64, LENGTH_DELIMITED, FIXED32]))
SIZES = {FIXED64: 8, FIXED32: 4}


@st.composite
def messages_of_fields(draw: st.DrawFn) -> bytes:
    """Messages, some of them with a wrong byte or cut short."""
    data = b""
    for number, wire_type in draw(st.lists(FIELD, max_size=5)):
        data += encode_varint(number << 3 | wire_type)
        if wire_type == VARINT:
            data += encode_varint(draw(UINT64))
        else:
            size = SIZES.get(wire_type, draw(st.integers(0, 200)))
            data += (encode_varint(size) if wire_type == LENGTH_DELIMITED else b"") + bytes(size)
    if draw(st.booleans()):
        return data
    return data[: draw(st.integers(0, len(data)))] + draw(st.binary(max_size=3))


@given(messages_of_fields(), st.binary(max_size=3), st.binary(max_size=3))
def test_the_places_of_fields_are_those_of_what_they_hold(data: bytes, before: bytes, after: bytes) -> None:
    start, stop = len(before), len(before) + len(data)
    places, fields = [], []
    try:
        fields += decode_fields(data)
    except CorruptError:
        fields.append(None)
    whole = before + data + after
    try:
        places += find_fields(whole, start, stop)
    except CorruptError:
        places.append(None)
    assert len(places) == len(fields)
    at = start
    for place, field in zip(places, fields, strict=True):
        assert (place is None) == (field is None)
        if place is None or field is None:
            break
        assert (place.start, place.number, place.wire_type) == (at, field.number, field.wire_type)
        at = place.stop
        content = whole[place.content : place.stop]
        if field.wire_type == LENGTH_DELIMITED:
            assert content == bytes(field.content)
        elif field.wire_type == VARINT:
            assert decode_varint(content, 0)[0] == field.value
        else:
            assert int.from_bytes(content, "little") == field.value


# --- strings -------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=300), max_size=12), st.integers(1, 5))
def test_strings_come_back_however_many_are_taken_at_once(strings: list[bytes], at_once: int) -> None:
    lengths = b"".join(map(encode_varint, map(len, strings)))
    checked = np.array(list(map(len, strings)), "<u4").tobytes()
    stored = mask(crc32c(checked)).to_bytes(4, "little") if strings else b""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ckptfmt.arrays.strings, "STRINGS_AT_ONCE", at_once)
        found, crc = decode_strings(memoryview(lengths + stored + b"".join(strings)), (len(strings),))
    assert found.tolist() == strings
    assert crc == crc32c(checked + stored + b"".join(strings))


# --- names ---------------------------------------------------------------------------------------------


@given(st.binary(max_size=20))
def test_every_key_has_a_name_that_leads_back_to_it(key: bytes) -> None:
    assert key_of(name_of(key)) == key


@given(st.text(st.characters(exclude_categories=()), max_size=10))
def test_every_name_without_surrogates_has_a_key(name: str) -> None:
    surrogates = {ord(c) for c in name if 0xD800 <= ord(c) <= 0xDFFF}
    if surrogates <= set(range(0xDC80, 0xDD00)):
        # Escapes of bytes have one; but of bytes that are UTF-8 together, theirs is the key of another name.
        assert name_of(key_of(name)) == name or surrogates
    else:
        with pytest.raises(UnicodeEncodeError):
            key_of(name)


# --- blocks and tables ---------------------------------------------------------------------------------

ITEMS = st.dictionaries(KEYS, st.binary(max_size=30), max_size=40).map(lambda d: sorted(d.items()))


@given(ITEMS, st.integers(1, 20), st.lists(KEYS, max_size=10))
def test_a_block_holds_what_was_put_in(
    items: list[tuple[bytes, bytes]], interval: int, others: list[bytes]
) -> None:
    block = Block(encode_block(items, interval))
    assert list(block.items()) == items
    expected = dict(items)
    for key in [*expected, *others]:
        assert block.get(key) == expected.get(key)


@given(
    ITEMS,
    st.integers(1, 20),
    st.sampled_from([1, 20, 100, 10_000]),
    st.sampled_from([None, "snappy"]),
    st.lists(KEYS, max_size=10),
)
def test_a_table_holds_what_was_put_in(
    items: list[tuple[bytes, bytes]], interval: int, block_size: int, compression, others: list[bytes]
) -> None:
    data = encode_table(items, block_size=block_size, restart_interval=interval, compression=compression)
    table = Table(MemoryFile("table", data))
    expected = dict(items)
    assert list(table.items()) == items
    for key in [*others, *expected, *(key + b"\x00" for key in expected)]:
        assert table.get(key) == expected.get(key)


@given(
    ITEMS.filter(lambda items: len(items) > 1), st.integers(1, 20), st.sampled_from([1, 10_000]), st.data()
)
def test_a_table_out_of_order_is_an_error(
    items: list[tuple[bytes, bytes]], interval: int, block_size: int, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(items) - 2))
    items = [*items[:at], items[at + 1], items[at], *items[at + 2 :]]
    table = Table(MemoryFile("t", encode_table(items, block_size=block_size, restart_interval=interval)))
    with pytest.raises(CorruptError, match="keys out of order"):
        list(table.items())


# --- slices --------------------------------------------------------------------------------------------


@given(KEYS, st.lists(EXTENTS, max_size=6))
def test_a_slice_key_decodes_to_itself(name: bytes, extents: list[tuple[int, int]]) -> None:
    part = TensorSlice(tuple(extents))
    key = encode_slice_key(name, part)
    assert key[:1] == b"\x00"
    assert decode_slice_key(key) == (name, part)
    with pytest.raises(CorruptError):
        decode_slice_key(key + b"\x00")
    with pytest.raises(CorruptError):
        decode_slice_key(key[:-1])


@given(st.lists(EXTENTS, max_size=6))
def test_a_slice_is_read_as_protobuf_reads_it(extents: list[tuple[int, int]]) -> None:
    assert decode_slice(slice_proto(TensorSlice(tuple(extents)))) == TensorSlice(tuple(extents))


def slice_proto(part: TensorSlice) -> bytes:
    message = messages.TensorSliceProto()
    for start, length in part.extents:
        extent = message.extent.add(start=start)
        if length != FULL:
            extent.length = length
    return message.SerializeToString()


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(1, math.prod(shape) + 1, dtype=np.int32).reshape(shape)


class SlicesInMemory:
    """A store of one int32 tensor, which hands out its slices and counts the elements that are read."""

    has_checked_values = False

    def __init__(self, array: np.ndarray) -> None:
        self.files = CheckpointFiles("t", "v2", ("t.index",))
        self._array = array
        self.elements_read = 0

    def entry(self, parts: list[TensorSlice]) -> Entry:
        array = self._array
        return Entry("t", DTYPES[3], array.shape, array.nbytes, None, None, None, tuple(parts))

    def read_piece(
        self,
        entry: Entry,
        part: TensorSlice | None,
        *,
        verify: bool,
        at: Any = None,
        threads: int | None = None,
    ) -> np.ndarray:
        assert part is not None
        values = self._array[within(part.region(entry.shape), whole(entry.shape))]
        assert verify is (at is None)
        values = values if at is None else values[at]
        self.elements_read += values.size
        return values


@given(tilings())
def test_slices_that_tile_a_shape_make_up_the_array(
    tiling: tuple[tuple[int, ...], list[TensorSlice]],
) -> None:
    shape, parts = tiling
    array = numbered(shape)
    store = SlicesInMemory(array)
    got = read_tensor(cast(Store, store), store.entry(parts), Checks(enabled=True, once=True))
    np.testing.assert_array_equal(got, array)


def indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """NumPy's indices of arrays, with a list of positions or a mask for one dimension at most."""
    basic = stn.basic_indices(shape, allow_newaxis=False)
    if not shape:
        return basic

    @st.composite
    def listed(draw: st.DrawFn) -> Any:
        axis = draw(st.integers(0, len(shape) - 1))
        size = shape[axis]
        mask = st.lists(st.booleans(), min_size=size, max_size=size)
        positions = st.lists(st.integers(-size, size - 1), max_size=6)
        chosen = draw(
            st.one_of(mask, mask.map(np.array), positions, positions.map(lambda p: np.array(p, np.int32)))
        )
        items = [draw(st.slices(n) | st.integers(-n, n - 1)) for n in shape]
        items[axis] = chosen
        count = draw(st.integers(axis + 1, len(shape)))
        index = tuple(items[:count])
        if draw(st.booleans()):
            # Before all dimensions, after them, or in between, where it may stand for none.
            at = draw(st.integers(0, count)) if count == len(shape) else count
            index = (*index[:at], ..., *index[at:])
        return index if len(index) > 1 or draw(st.booleans()) else index[0]

    return basic | listed()


@given(tilings(), st.data())
def test_any_index_of_slices_takes_what_numpy_takes(
    tiling: tuple[tuple[int, ...], list[TensorSlice]], data: st.DataObject
) -> None:
    shape, parts = tiling
    array = numbered(shape)
    index = data.draw(indices(shape))
    store = SlicesInMemory(array)
    selection, local = select(index, shape, "t")
    checks = Checks(enabled=True, once=True)
    got = read_selection(cast(Store, store), store.entry(parts), selection, checks)[local]
    want = np.asarray(array[index])
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)
    # No element is read that is not taken.
    assert store.elements_read == math.prod(selection.shape) == got.size


@given(tilings(), st.data())
def test_a_slice_left_out_is_an_error(
    tiling: tuple[tuple[int, ...], list[TensorSlice]], data: st.DataObject
) -> None:
    shape, parts = tiling
    gone = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
    missing = math.prod(region_shape(gone.region(shape)))
    with pytest.raises(CorruptError, match=rf"leave {missing} of {math.prod(shape)} elements uncovered"):
        plan(shape, parts, whole(shape))
    # All the others are still there to be read by themselves.
    for part in parts:
        assert [needed for needed, _ in plan(shape, parts, part.region(shape))] == [part]


@given(tilings(), st.data())
def test_a_slice_too_many_is_an_error(
    tiling: tuple[tuple[int, ...], list[TensorSlice]], data: st.DataObject
) -> None:
    shape, parts = tiling
    extents = []
    for size in shape:
        start = data.draw(st.integers(0, size - 1))
        extents.append((start, data.draw(st.integers(1, size - start))))
    parts.insert(data.draw(st.integers(0, len(parts))), TensorSlice(tuple(extents)))
    with pytest.raises(CorruptError, match="overlap"):
        plan(shape, parts, whole(shape))


@given(tilings(), st.data())
def test_a_slice_that_juts_out_is_an_error(
    tiling: tuple[tuple[int, ...], list[TensorSlice]], data: st.DataObject
) -> None:
    shape, parts = tiling
    assume(shape)
    axis = data.draw(st.integers(0, len(shape) - 1))
    size = shape[axis]
    wrong = data.draw(
        st.sampled_from(
            [(-1, 1), (0, size + 1), (size, 1), (0, 0), (0, -2), (1, FULL), (2**63 - 1, 2**63 - 1)]
        )
    )
    extents = [*parts[0].extents]
    extents[axis] = wrong
    with pytest.raises(CorruptError, match="does not fit"):
        plan(shape, [TensorSlice(tuple(extents)), *parts[1:]], whole(shape))


def sliced_bundle(name: str, array: np.ndarray, parts: list[TensorSlice]) -> tuple[bytes, bytes]:
    """Index and data file of a bundle with one int32 tensor in slices."""
    items = {
        b"": HEADER,
        name.encode(): encode_entry(dtype=3, shape=array.shape, slices=map(slice_proto, parts)),
    }
    content = b""
    for part in parts:
        stored = array[within(part.region(array.shape), whole(array.shape))]
        items[encode_slice_key(name.encode(), part)] = encode_entry(
            dtype=3, shape=stored.shape, offset=len(content), size=stored.nbytes, crc=crc32c(stored.tobytes())
        )
        content += stored.tobytes()
    return encode_table(sorted(items.items())), content


@given(tilings(), st.data())
def test_a_part_of_a_sliced_tensor_is_numpys(
    tiling: tuple[tuple[int, ...], list[TensorSlice]], data: st.DataObject
) -> None:
    shape, parts = tiling
    array = numbered(shape)
    ckpt = open_bundle(*sliced_bundle("t", array, parts))
    np.testing.assert_array_equal(ckpt["t"], array)
    reader = ckpt.slice("t")
    for _ in range(3):
        index = data.draw(indices(shape))
        got, expected = reader[index], np.asarray(array[index])
        assert got.shape == expected.shape
        assert got.dtype == expected.dtype
        assert got.tolist() == expected.tolist()
    for part in parts:
        # All of one piece, whatever the sizes of those before and after it.
        assert reader.is_verified(tuple(slice(*bounds) for bounds in part.region(shape)))
    if len(shape) > 1:
        np.testing.assert_array_equal(reader[..., -1], array[..., -1])
        np.testing.assert_array_equal(reader[0, ..., ::-1], array[0, ..., ::-1])


@given(tilings())
def test_a_sliced_tensor_is_one_name_and_its_entry_says_how_it_was_cut(
    tiling: tuple[tuple[int, ...], list[TensorSlice]],
) -> None:
    shape, parts = tiling
    ckpt = open_bundle(*sliced_bundle("t", numbered(shape), parts))
    assert list(ckpt) == ["t"]
    entry = ckpt.entries["t"]
    assert (entry.shape, entry.slices, entry.nbytes) == (shape, tuple(parts), 4 * math.prod(shape))
    assert ckpt.verify().problems == []


# --- entries -------------------------------------------------------------------------------------------

_OPTIONAL_FIELDS = {
    "dtype": st.integers(0, 200).map(lambda value: encode_field(1, value)),
    "shape": st.lists(st.integers(0, 1000) | st.just(2**20), max_size=4).map(
        lambda shape: encode_field(
            2, messages.TensorShapeProto(dim=[{"size": n} for n in shape]).SerializeToString()
        )
    ),
    "shard": st.integers(0, 2**31 - 1).map(lambda value: encode_field(3, value)),
    "offset": st.integers(0, 2**63 - 1).map(lambda value: encode_field(4, value)),
    "size": st.integers(0, 2**63 - 1).map(lambda value: encode_field(5, value)),
    "crc": st.binary(min_size=4, max_size=4).map(lambda value: b"\x35" + value),
    "slice": st.lists(EXTENTS, max_size=3).map(
        lambda extents: encode_field(7, slice_proto(TensorSlice(tuple(extents))))
    ),
}
_NUMBERS = st.integers(8, 40) | st.just(2**29 - 1)
_UNKNOWN_FIELDS = st.one_of(
    st.builds(lambda number, value: encode_varint(number << 3) + encode_varint(value), _NUMBERS, UINT64),
    st.builds(encode_field, _NUMBERS, st.binary(max_size=200)),
    st.builds(
        lambda number, value: encode_varint(number << 3 | 1) + value,
        _NUMBERS,
        st.binary(min_size=8, max_size=8) | st.just(b"\xff" * 8),
    ),
    st.builds(
        lambda number, value: encode_varint(number << 3 | 5) + value,
        _NUMBERS,
        st.binary(min_size=4, max_size=4) | st.just(b"\xff" * 4),
    ),
)


@given(st.lists(st.one_of(*_OPTIONAL_FIELDS.values(), _UNKNOWN_FIELDS), max_size=10))
@example([])
@example([b"\x41" + b"\xff" * 8])
@example([b"\x45" + b"\xff" * 4])
def test_an_entry_is_read_as_protobuf_reads_it(fields: list[bytes]) -> None:
    value = b"".join(fields)
    message = messages.BundleEntryProto.FromString(value)
    shape = tuple(dim.size for dim in message.shape.dim)
    assume(len(shape) <= 254 and math.prod(max(n, 1) for n in shape) < 2**63)
    for data in (value, memoryview(value)):
        entry = decode_entry("t", data)
        assert entry.name == "t"
        assert (entry.dtype.code, entry.shape) == (message.dtype, shape)
        if message.slices:
            assert (entry.shard, entry.offset, entry.crc32c) == (None, None, None)
        else:
            assert (entry.shard, entry.offset, entry.nbytes) == (
                message.shard_id,
                message.offset,
                message.size,
            )
            assert entry.crc32c == unmask(message.crc32c)
        assert entry.slices == tuple(
            TensorSlice(tuple((e.start, e.length if e.HasField("length") else FULL) for e in part.extent))
            for part in message.slices
        )


@given(
    st.integers(0, 200),
    st.lists(st.integers(0, 1000), max_size=3),
    st.lists(st.lists(EXTENTS, max_size=3), max_size=4),
    st.sampled_from([b"", b"", b"\x18\x01", b"\x28\x10", b"\x35abcd"]),
    st.data(),
)
def test_an_entry_in_slices_is_read_as_one_in_any_order(
    dtype: int, shape: list[int], parts: list[list[tuple[int, int]]], between: bytes, data: st.DataObject
) -> None:
    slices = b"".join(encode_field(7, slice_proto(TensorSlice(tuple(extents)))) for extents in parts)
    value = bytearray(encode_entry(dtype=dtype or 1, shape=shape) + between + slices)
    if data.draw(st.booleans()):
        value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        del value[data.draw(st.integers(0, len(value))) :]

    def read(value: bytes) -> Entry | type[CkptfmtError]:
        try:
            return decode_entry("t", value)
        except CorruptError:
            return (
                CorruptError  # cut short or otherwise wrong: the two ways may notice different faults first
            )
        except CkptfmtError as error:
            return type(error)

    # With a field that nobody knows in front it is not in the usual form.
    assert read(bytes(value)) == read(encode_field(99, b"") + value)


@given(st.lists(st.one_of(*_OPTIONAL_FIELDS.values(), _UNKNOWN_FIELDS), max_size=6).map(b"".join), st.data())
def test_a_damaged_entry_is_an_entry_or_an_error(value: bytes, data: st.DataObject) -> None:
    damaged = bytearray(value)
    if damaged and data.draw(st.booleans()):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    try:
        entry = decode_entry("t", bytes(damaged))
    except CorruptError:
        return
    assert all(n >= 0 for n in entry.shape)
    assert entry.nbytes >= 0


# --- raw bytes -----------------------------------------------------------------------------------------

FIXED = [dtype for dtype in DTYPES.values() if dtype.storage is Storage.FIXED and dtype.name != "bool"]


@given(st.sampled_from(FIXED), stn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), st.randoms())
def test_bytes_of_either_order_are_the_same_array(dtype, shape: tuple[int, ...], rng: random.Random) -> None:
    size = dtype.itemsize * math.prod(shape)
    little = rng.randbytes(size)
    word = dtype.itemsize // (2 if dtype.numpy.kind == "c" else 1)
    big = b"".join(little[i : i + word][::-1] for i in range(0, size, word))
    array = decode_raw(little, dtype, shape)
    assert (array.shape, array.dtype, array.tobytes()) == (shape, dtype.numpy, little)
    assert decode_raw(big, dtype, shape, big_endian=True).tobytes() == little
    with pytest.raises(CkptfmtError):
        decode_raw(little + b"\x00", dtype, shape)


@settings(max_examples=30)
@given(stn.arrays(np.float32, SHAPES))
def test_regions_of_a_whole_tensor_are_numpys(array: np.ndarray) -> None:
    data = array.tobytes()
    index = encode_table(
        [(b"", HEADER), (b"t", encode_entry(shape=array.shape, size=len(data), crc=crc32c(data)))]
    )
    reader = open_bundle(index, data).slice("t")
    choices = [(0, slice(None), slice(None, None, -1), slice(1, None, 2))] * array.ndim
    for item in itertools.islice(itertools.product(*choices), 20):
        assert reader[item].tobytes() == np.asarray(array[item]).tobytes()
