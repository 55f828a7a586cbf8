"""The index of a bundle: names of any bytes, slices that are hidden, and how little of it is read."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.checkpoint import bundle_index
from ckptfmt.checkpoint.slices import TensorSlice, encode_slice_key
from ckptfmt.errors import CorruptError
from tests.support.bundles import encode_sliced
from tests.support.golden import load
from tests.support.memory_filesystem import MemoryFile, open_bundle
from tests.support.table_writer import HEADER, encode_bundle_index, encode_entry, encode_header, encode_table


def test_names_that_are_not_utf8_read_by_their_escapes() -> None:
    golden = load("names")
    ckpt = ckptfmt.open(golden.path)
    odd = [tensor for tensor in golden.tensors.values() if b"\xff" in tensor.key]
    assert odd
    for tensor in odd:
        assert ckptfmt.open(golden.path)[tensor.name].tobytes() == tensor.expected().tobytes()
        assert tensor.name in ckpt


def test_a_lone_surrogate_is_not_a_name_before_or_after_listing(tmp_path: Path) -> None:
    # The bytes ed a0 80 would be that surrogate in UTF-8, if there were one; they are a name of their own.
    items = [(b"", encode_header()), (b"\xc3\xa9", encode_entry()), (b"\xed\xa0\x80", encode_entry())]
    (tmp_path / "c.index").write_bytes(encode_table(items))
    ckpt = ckptfmt.open(tmp_path / "c")
    for _ in ("before", "after"):
        assert "\ud800" not in ckpt
        assert "\udcc3\udca9" not in ckpt
        assert "\xe9" in ckpt
        assert "\udced\udca0\udc80" in ckpt
        assert list(ckpt) == ["\xe9", "\udced\udca0\udc80"]


def test_tensors_in_slices_are_listed_in_one_pass() -> None:
    parts = [TensorSlice(((i, 1),)) for i in range(4)]
    items: dict[bytes, bytes] = {}
    for name in (b"layer_%03d" % i for i in range(100)):
        items |= {encode_slice_key(name, part): encode_entry(shape=[1], size=4, crc=0) for part in parts}
        items[name] = encode_sliced(parts)
    ckpt = open_bundle(encode_table([(b"", HEADER), *sorted(items.items())], block_size=1000), b"")
    file = ckpt._store.table.file
    assert isinstance(file, MemoryFile)
    opening = len(file.reads)
    assert len(list(ckpt)) == 100
    assert len(file.reads) - opening == len(ckpt._store.table.handles) > 10


def test_a_long_name_of_many_slices_is_listed_in_memory_of_its_size() -> None:
    # The keys of these slices would take 4 GB.
    parts = [TensorSlice(((i, 1),)) for i in range(4_000)]
    name = b"n" * 1_000_000
    items = {b"\0": b"", encode_slice_key(name, parts[7]): b"", name: encode_sliced(parts)}
    ckpt = open_bundle(encode_table([(b"", HEADER), *items.items()]), b"")
    tracemalloc.start()
    try:
        assert list(ckpt) == ["\0", name.decode()]
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_a_pattern_reads_only_the_blocks_that_may_match() -> None:
    entry = encode_entry(shape=[1], size=4, crc=0)
    index = encode_bundle_index({f"layer_{i:05d}/kernel": entry for i in range(20_000)}, block_size=2_000)
    ckpt = open_bundle(index, bytes(4))
    file = ckpt._store.table.file
    assert isinstance(file, MemoryFile)
    opening = len(file.reads)
    found = ckpt.select("layer_0777?/*", "layer_12345/kernel")
    assert list(found) == [*(f"layer_0777{i}/kernel" for i in range(10)), "layer_12345/kernel"]
    assert [entry.shape for entry in found.entries.values()] == [(1,)] * 11
    assert len(file.reads) - opening < 10
    assert len(ckpt._store.table.handles) > 200


def test_a_wrong_name_reads_only_the_blocks_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_index, "LISTED_BYTES", 100_000)
    monkeypatch.setattr(bundle_index, "BYTES_AROUND", 5_000)
    entry = encode_entry(shape=[1], size=4, crc=0)
    part = TensorSlice(((0, 1),))
    items = {b"layer_%05d/kernel" % i: entry for i in range(20_000)} | {b"a": encode_sliced([part])}
    items[encode_slice_key(b"a", part)] = entry
    index = encode_table([(b"", HEADER), *sorted(items.items())], block_size=2_000)
    for name, meant in {
        "layer_12345/kernal": "layer_12345/kernel",
        "aa": "a",
        "layer_00000": "layer_00000/kernel",
        "layer_2": None,
        "zzz": None,
        "\ud800": None,
    }.items():
        ckpt = open_bundle(index, bytes(4))
        file = ckpt._store.table.file
        assert isinstance(file, MemoryFile)
        opening = len(file.reads)
        for read in (lambda ckpt=ckpt, name=name: ckpt[name], lambda ckpt=ckpt, name=name: ckpt.read([name])):
            with pytest.raises(ckptfmt.errors.TensorNotFoundError) as caught:
                read()
            assert (meant in caught.value.close_matches) is (meant is not None)
            assert not any("\0" in match for match in caught.value.close_matches)
        assert len(file.reads) - opening < 40
        assert len(ckpt._store.table.handles) > 200
        # Those that are listed anyway are all looked at.
        assert len(ckpt) == 20_001
        with pytest.raises(ckptfmt.errors.TensorNotFoundError, match="did you mean 'layer_00777/kernel'"):
            ckpt["x/layer_00777/kernel"]


def test_a_tensor_in_slices_beyond_all_measure_is_an_error() -> None:
    entries = {"t": encode_entry(dtype=18, shape=[1 << 62], slices=[b"\n\x00"])}
    ckpt = open_bundle(encode_bundle_index(entries), b"")
    for read in (lambda: ckpt.entries["t"], ckpt.entries.to_columns, lambda: ckpt["t"], ckpt.read):
        with pytest.raises(CorruptError, match=r"'t': got 73786976294838206464 bytes, want less than 2"):
            read()
    assert not ckpt.verify().ok
