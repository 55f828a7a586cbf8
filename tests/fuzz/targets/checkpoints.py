"""Whole checkpoints, V2 and V1, read by every way of reading."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

import ckptfmt
from ckptfmt.errors import CkptfmtError, UnsupportedError
from ckptfmt.proto import messages
from ckptfmt.wire.coding import decode_varint
from ckptfmt.wire.crc32c import crc32c, mask, unmask
from tests.fuzz import parts
from tests.fuzz.mutate import table
from tests.fuzz.mutate.message import of_message
from tests.fuzz.mutate.plain import Mutator, of_bytes, of_parts, one_of
from tests.fuzz.target import Fault, Target, outcome
from tests.fuzz.visit import visit
from tests.support.golden import GOLDEN, cases
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.object_graph import check_laws
from tests.support.table_writer import encode_table

SMALL = 12_000
"""Bytes of the largest file that is a seed."""

READ_WHOLE = 1 << 22
"""Bytes of the largest tensor that is read by every way: V1 repeats one value as often as a shape claims."""

STRING, VARIANT = 7, 21


# --- checkpoints


class Files(NamedTuple):
    """The files of a checkpoint by name, and the name that leads to it."""

    content: dict[str, bytes]
    prefix: str


def files_v2(data: bytes) -> Files:
    """Return an index and its data files."""
    index, *shards = parts.split(data) or [b""]
    names = [f"c.data-{i:05d}-of-{max(len(shards), 1):05d}" for i in range(len(shards))]
    return Files({"c.index": index, **dict(zip(names, shards, strict=True))}, "c")


def files_v1(data: bytes) -> Files:
    """Return a V1 checkpoint in one file, or in several."""
    tables = parts.split(data) or [b""]
    if len(tables) == 1:
        return Files({"c": tables[0]}, "c")
    names = [f"c-{i:05d}-of-{len(tables):05d}" for i in range(len(tables))]
    return Files(dict(zip(names, tables, strict=True)), f"c-?????-of-{len(tables):05d}")


FILES = {"v2": files_v2, "v1": files_v1}
"""The function that returns the files of an input, by target."""


def judge_v2(data: bytes) -> None:
    """Read a V2 checkpoint by every way, and compare with its bytes."""
    files = files_v2(data)
    ckpt = judge_files(files)
    index, *shards = files.content.values()
    if ckpt is not None and ckpt.num_shards == len(shards):
        compare_with_bytes(ckpt, index, shards)


def judge_v1(data: bytes) -> None:
    """Read a V1 checkpoint by every way."""
    judge_files(files_v1(data))


def judge_files(files: Files) -> ckptfmt.Checkpoint | None:
    """Read a checkpoint of these files from views and from copies; return it if it opens."""
    views, copies = (
        outcome(lambda fs=fs: ckptfmt.open(files.prefix, fs=fs))
        for fs in (MemoryFilesystem(files.content), MemoryFilesystem(files.content, has_views=False))
    )
    assert isinstance(views, CkptfmtError) == isinstance(copies, CkptfmtError)
    if isinstance(views, CkptfmtError) or isinstance(copies, CkptfmtError):
        return None
    for name in judge_checkpoint(views):
        read, copied = (outcome(lambda ckpt=ckpt, name=name: ckpt[name]) for ckpt in (views, copies))
        if isinstance(read, CkptfmtError):
            assert isinstance(copied, CkptfmtError), f"{name!r} is read only from copies"
        elif read.nbytes <= READ_WHOLE:
            same({name: copied}, {name: read})
    return views


def judge_checkpoint(ckpt: ckptfmt.Checkpoint) -> list[str]:
    """Check that all ways of listing and of reading agree; return the names."""
    names = outcome(lambda: list(ckpt))
    report = outcome(ckpt.verify)
    columns = outcome(ckpt.entries.to_columns)
    listed = outcome(lambda: dict(ckpt.entries.items()))
    outcome(lambda: ckpt["no such name"])
    if isinstance(names, CkptfmtError):
        assert isinstance(report, CkptfmtError) or not report.ok, "intact, but not listed"
        return []
    assert len(ckpt) == len(names) == len(set(names))
    if not isinstance(columns, CkptfmtError):
        assert list(columns["name"]) == names
    if isinstance(report, CkptfmtError) or any(problem.kind == "block" for problem in report.problems):
        # In a table that verify finds damaged, look-ups may fail for names that are listed.
        outcome(lambda: [ckpt[name] for name in names])
        return []
    bad = []
    for name in names:
        assert outcome(lambda name=name: name in ckpt), f"{name!r} is listed, but not found"
        entry = outcome(lambda name=name: ckpt.entries[name])
        if not isinstance(listed, CkptfmtError) and not isinstance(entry, CkptfmtError):
            assert repr(listed[name]) == repr(entry)
        if isinstance(entry, CkptfmtError) or isinstance(judge_tensor(ckpt, entry), CkptfmtError):
            bad.append(name)
    if report.ok and bad:
        raise Fault(f"verify says ok, but {bad[0]!r} cannot be read")
    if not bad and not isinstance(listed, CkptfmtError):
        same(
            ckpt.read(),
            {name: ckpt[name] for name in names if ckpt.entries[name].nbytes <= READ_WHOLE},
            some=True,
        )
    judge_objects(ckpt, names)
    judge_copy(ckpt, names, is_intact=report.ok)
    return names


def judge_tensor(ckpt: ckptfmt.Checkpoint, entry: ckptfmt.Entry) -> Any:
    """Read a tensor by every way; return its array, or the error."""
    name = entry.name
    array = outcome(lambda: ckpt[name])
    reader = ckpt.slice(name)
    if entry.nbytes > READ_WHOLE or (not isinstance(array, CkptfmtError) and array.nbytes > READ_WHOLE):
        return array
    others = [
        outcome(lambda: reader[...]),
        outcome(lambda: ckpt.read([name])[name]),
        outcome(lambda: ckpt.read([name], copy=True)[name]),
    ]
    if isinstance(array, CkptfmtError):
        assert all(isinstance(other, CkptfmtError) for other in others), f"only some ways read {name!r}"
        outcome(lambda: reader[(slice(0, 1),) * len(entry.shape)])
        return array
    assert array.shape == entry.shape
    assert array.dtype == entry.dtype.numpy
    for other in others:
        same({name: other}, {name: array})
    if array.ndim and array.shape[0]:
        same({name: reader[::2]}, {name: array[::2]})
        same({name: reader[-1:]}, {name: array[-1:]})
    return array


def same(got: Mapping[str, Any], want: Mapping[str, Any], *, some: bool = False) -> None:
    """Assert that two ways of reading give the same arrays, to the last bit."""
    assert some or set(got) == set(want)
    for name, array in want.items():
        other = got[name]
        assert not isinstance(other, CkptfmtError), f"only some ways read {name!r}: {other}"
        assert np.shape(other) == np.shape(array)
        if array.dtype.hasobject:
            assert repr(np.asarray(other).tolist()) == repr(array.tolist())
        else:
            assert np.asarray(other).tobytes() == array.tobytes(), f"{name!r} has two values"


def judge_copy(ckpt: ckptfmt.Checkpoint, names: list[str], *, is_intact: bool) -> None:
    """Save a checkpoint again: it has the same values, or an error leaves nothing."""
    sizes = outcome(lambda: [ckpt.entries[name].nbytes for name in names])
    if isinstance(sizes, CkptfmtError) or sum(sizes) > READ_WHOLE:
        return
    fs = MemoryFilesystem()
    saved = outcome(lambda: ckptfmt.save("copy", ckpt, fs=fs))
    if isinstance(saved, CkptfmtError):
        assert not fs.list_directory("").files
        if is_intact and not isinstance(saved, UnsupportedError):
            raise Fault(f"verify says ok, but it cannot be copied: {saved}")
        return
    copy = ckptfmt.open("copy", fs=fs)
    assert copy.verify().ok
    assert list(copy) == names
    same(copy.read(), {name: ckpt[name] for name in names})
    ckptfmt.save("again", copy, fs=fs)
    assert fs.open("again.index").content == fs.open("copy.index").content


def judge_objects(ckpt: ckptfmt.Checkpoint, names: list[str]) -> None:
    """Look at the object graph, and at the views that it makes."""
    graph = outcome(lambda: ckpt.object_graph)
    for view in (ckpt.by_object_path, ckpt.by_full_name, ckpt.model_variables, ckpt.ema):
        shown = outcome(view)
        if not isinstance(shown, CkptfmtError):
            outcome(lambda shown=shown: [shown.entries[name] for name in shown])
    if graph is None or isinstance(graph, CkptfmtError):
        return
    outcome(lambda: check_laws(graph, names))
    visit(graph)


def compare_with_bytes(ckpt: ckptfmt.Checkpoint, index: bytes, shards: list[bytes]) -> None:
    """Check numbers against the bytes that protobuf finds an entry to name, and their checksum."""
    for key, value in table.decode_items(index) or []:
        name = key.decode("utf-8", "surrogateescape")
        array = outcome(lambda name=name: ckpt[name])
        if isinstance(array, CkptfmtError) or array.dtype.hasobject or array.nbytes > READ_WHOLE:
            continue
        entry = messages.BundleEntryProto.FromString(value)
        if entry.slices:
            continue
        stored = shards[entry.shard_id][entry.offset : entry.offset + entry.size]
        assert array.shape == tuple(dim.size for dim in entry.shape.dim)
        assert len(stored) == entry.size
        assert crc32c(stored) == unmask(entry.crc32c), f"{name!r} is read although its checksum differs"
        header = messages.BundleHeaderProto.FromString(dict(table.decode_items(index) or [])[b""])
        # Bools are normalised, and numbers of less than 8 bits extended.
        if not header.endianness and array.dtype.itemsize > 1:
            assert array.tobytes() == stored


# --- mutations


def signed(data: bytes, rng: Random) -> bytes:
    """Change a data file, and compute the checksums of what it holds anew, in it and in the index."""
    index, *shards = [bytearray(part) for part in parts.split(data)] or [bytearray()]
    items = table.decode_items(bytes(index))
    if not items or not shards:
        return of_bytes(data, rng)
    i = rng.randrange(len(shards))
    shards[i] = bytearray(of_bytes(bytes(shards[i]), rng))
    entries = [(key, value if not key else _signed_entry(value, shards)) for key, value in items]
    return parts.join([encode_table(entries), *map(bytes, shards)])


def _signed_entry(value: bytes, shards: list[bytearray]) -> bytes:
    try:
        entry = messages.BundleEntryProto.FromString(value)
    except DecodeError:
        return value
    if not 0 <= entry.shard_id < len(shards) or entry.slices:
        return value
    shard = shards[entry.shard_id]
    stored = bytes(shard[entry.offset : entry.offset + entry.size])
    count = math.prod(dim.size for dim in entry.shape.dim)
    if entry.dtype in (STRING, VARIANT) and 0 <= count <= len(stored):
        sign = _sign_strings if entry.dtype == STRING else _sign_variants
        try:
            stored, crc = sign(stored, count)
        except CkptfmtError:
            return value
        shard[entry.offset : entry.offset + len(stored)] = stored
    else:
        crc = crc32c(stored)
    entry.crc32c = mask(crc)
    return entry.SerializeToString()


def _sign_strings(stored: bytes, count: int) -> tuple[bytes, int]:
    """Return strings with the checksum of their lengths, and that of their entry; FORMAT.md 2.6."""
    pos = crc = 0
    for _ in range(count):
        length, pos = decode_varint(stored, pos)
        crc = crc32c(length.to_bytes(4 if length < 1 << 32 else 8, "little"), crc)
    inner = mask(crc).to_bytes(4, "little")
    return stored[:pos] + inner + stored[pos + 4 :], crc32c(stored[pos + 4 :], crc32c(inner, crc))


def _sign_variants(stored: bytes, count: int) -> tuple[bytes, int]:
    """The same for variants: each is followed by a checksum of everything before it."""
    out, pos, crc = bytearray(stored), 0, 0
    for _ in range(count):
        length, start = decode_varint(stored, pos)
        pos = start + min(length, len(stored))
        crc = crc32c(stored[start:pos], crc32c(length.to_bytes(8, "little"), crc))
        inner = mask(crc).to_bytes(4, "little")
        out[pos : pos + 4] = inner
        crc = crc32c(inner, crc)
        pos += 4
    return bytes(out[: len(stored)]), crc


# --- seeds


def seeds_v2() -> list[bytes]:
    """Return the small V2 checkpoints of tests/data."""
    found = []
    for index in sorted(GOLDEN.rglob("*.index")):
        files = [index, *sorted(index.parent.glob(f"{index.stem}.data-*"))]
        if all(file.stat().st_size <= SMALL for file in files):
            found.append(parts.join(file.read_bytes() for file in files))
    return found


def seeds_v1() -> list[bytes]:
    """Return the small V1 checkpoints of tests/data."""
    found = []
    for golden in cases("v1"):
        files = sorted(golden.path.parent.glob(golden.path.name))
        if files and all(file.stat().st_size <= SMALL for file in files):
            found.append(parts.join(file.read_bytes() for file in files))
    return found


INDEX: Mutator = table.mutator(of_message)

TARGETS = {
    "v2": Target(judge_v2, seeds_v2, one_of(of_parts(INDEX, of_bytes), of_parts(INDEX), signed), count=20),
    "v1": Target(judge_v1, seeds_v1, of_parts(INDEX), count=20),
}
