"""Data files that are something else: a Git LFS pointer, a web page, a server's error."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint.slices import TensorSlice, encode_slice_key
from ckptfmt.errors import ChecksumError, TruncatedError, UnsupportedError
from ckptfmt.wire.crc32c import crc32c
from tests.support.bundles import encode_sliced
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.table_writer import HEADER, encode_entry, encode_table
from tests.support.v1_files import v1_table

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d" * 32 + b"\nsize 20412\n"
STAND_INS = {
    "Git LFS pointer": (POINTER, "a Git LFS pointer.*run 'git lfs pull'"),
    "page": (
        b"<!DOCTYPE html><html><title>Virus scan warning</title></html>\n",
        "an HTML page.*download went wrong",
    ),
    "page after space": (b"\n\n <HTML>\n<head></head></HTML>\n", "an HTML page.*download went wrong"),
    "XML": (
        b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        ".*not a TensorFlow",
    ),
}
"""What stands in for the data file, and what errors say."""

PART = TensorSlice(((0, 4),))


def open_with(data: bytes, *, verify: bool = True, has_views: bool = True) -> ckptfmt.Checkpoint:
    """Open a checkpoint of tensors of every way of reading, with these bytes instead of its data."""
    size = 1 << 20
    items = {
        b"": HEADER,
        b"small": encode_entry(shape=(2,), size=8, crc=1),
        b"beyond": encode_entry(shape=(50, 100), size=20_000, offset=16, crc=1),
        b"large": encode_entry(shape=(size // 4,), size=size, offset=32, crc=1),
        b"strings": encode_entry(dtype=7, shape=(2,), size=30, offset=4, crc=1),
        b"sliced": encode_sliced([PART]),
        encode_slice_key(b"sliced", PART): encode_entry(shape=(4,), size=16, crc=1),
    }
    files = {"c.index": encode_table(sorted(items.items())), "c.data-00000-of-00001": data}
    return ckptfmt.open("c", verify=verify, fs=MemoryFilesystem(files, has_views=has_views))


READS: dict[str, Callable[[ckptfmt.Checkpoint, str], object]] = {
    "by name": lambda ckpt, name: ckpt[name],
    "several": lambda ckpt, name: ckpt.read([name]),
    "copies": lambda ckpt, name: ckpt.read([name], copy=True),
    "part": lambda ckpt, name: ckpt.slice(name)[1:2],
    "restored": lambda ckpt, name: ckpt.restore([name]),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("stand_in", STAND_INS.values(), ids=STAND_INS)
def test_every_way_of_reading_says_what_the_file_is(
    stand_in: tuple[bytes, str], read: Callable[[ckptfmt.Checkpoint, str], object]
) -> None:
    content, told = stand_in
    for verify in (True, False):
        for has_views in (True, False):
            ckpt = open_with(content, verify=verify, has_views=has_views)
            for name in ckpt:
                with pytest.raises(UnsupportedError, match=rf"^c\.data-00000-of-00001: {told}"):
                    read(ckpt, name)


@pytest.mark.parametrize("stand_in", STAND_INS.values(), ids=STAND_INS)
def test_verify_says_it_once(stand_in: tuple[bytes, str]) -> None:
    content, told = stand_in
    report = open_with(content).verify()
    assert not report.ok
    (problem,) = report.problems
    assert (problem.kind, problem.file) == ("unsupported", "c.data-00000-of-00001")
    assert re.search(told, problem.message)
    assert problem.message.endswith("it should hold 5 tensors, the first 'sliced'")


@pytest.mark.parametrize("verify", [True, False])
def test_tensors_that_hold_such_a_text_are_read(verify: bool) -> None:
    for data in (POINTER, b"<!doctype html>" * 10):
        size = len(data)
        entries = {
            b"": HEADER,
            b"a": encode_entry(dtype=4, shape=(size - 10,), size=size - 10, crc=crc32c(data[:-10])),
            b"b": encode_entry(dtype=4, shape=(10,), size=10, offset=size - 10, crc=crc32c(data[-10:])),
        }
        files = {"c.index": encode_table(sorted(entries.items())), "c.data-00000-of-00001": data}
        ckpt = ckptfmt.open("c", verify=verify, fs=MemoryFilesystem(files))
        assert b"".join(array.tobytes() for array in ckpt.read().values()) == data
        assert ckpt.slice("a")[2:5].tobytes() == data[2:5]
        assert ckpt.verify().ok
        assert not ckpt.verify().problems


def test_other_data_that_is_damaged_is_not_called_anything_else() -> None:
    data = np.arange(4, dtype=np.float32).tobytes()
    with pytest.raises(ChecksumError):
        open_with(data)["small"]
    with pytest.raises(TruncatedError):
        open_with(data)["beyond"]
    assert open_with(data, verify=False)["small"].tolist() == [0, 1]


@pytest.mark.parametrize("stand_in", STAND_INS.values(), ids=STAND_INS)
def test_a_shard_of_a_v1_checkpoint_says_what_it_is(stand_in: tuple[bytes, str]) -> None:
    content, told = stand_in
    for number in (0, 1):
        shards = [v1_table(), v1_table()]
        shards[number] = content
        files = {f"m-0000{i}-of-00002": shard for i, shard in enumerate(shards)}
        for path in files:
            with pytest.raises(UnsupportedError, match=rf"^m-0000{number}-of-00002: {told}"):
                ckptfmt.open(path, fs=MemoryFilesystem(files))
