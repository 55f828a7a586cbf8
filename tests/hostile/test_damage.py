"""Damage to every byte and a cut at every length of small checkpoints: the right value or an error."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint import bulk
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.checkpoint.find import find_checkpoint
from ckptfmt.errors import (
    CheckpointNotFoundError,
    ChecksumError,
    CkptfmtError,
    CorruptError,
    TensorNotFoundError,
    TruncatedError,
)
from ckptfmt.storage.local import LOCAL
from ckptfmt.table import Table
from ckptfmt.table.format import TRAILER_SIZE
from ckptfmt.wire import threads as pieces
from tests.support.golden import GOLDEN, load
from tests.support.memory_filesystem import MemoryFile, MemoryFilesystem, open_files

Value = Any
"""The contents of an array, comparable to the last bit."""

FLIPS = (0xFF, 0x10)
"""Masks that flip all bits of a byte, and a single one."""

SMALL = 4000
"""Tables of more bytes are damaged and cut at every fifth byte only; so are data files of more in all."""

READS_A_FILE = 2000
"""About how many tensors are read, over all damage to a file, besides those that the damage hits."""


Reader = Callable[[str], np.ndarray]
"""Reads the tensor of a name."""


@dataclass(frozen=True)
class Way:
    """A way to read tensors."""

    name: str
    reader: Callable[[ckptfmt.Checkpoint], Reader]
    """Returns the reader of a checkpoint."""
    has_views: bool = True
    """Whether files behave as if mapped, or as if read through descriptors."""
    in_pieces: bool = False
    """Whether threads read tensors of any size in pieces, as they do large ones."""
    every: int = 11
    """The distance between damaged bytes of a data file."""


def one_by_one(ckpt: ckptfmt.Checkpoint) -> Reader:
    return lambda name: ckpt[name]


def into_arrays(ckpt: ckptfmt.Checkpoint) -> Reader:
    """Reads into arrays of the caller."""

    def read(name: str) -> np.ndarray:
        entry = ckpt.entries[name]
        out = np.empty(entry.shape, entry.dtype.numpy)
        found = ckpt.read([name], out={name: out})[name]
        assert found is out
        return out

    return read


def all_at_once(ckpt: ckptfmt.Checkpoint) -> Reader:
    """Reads everything in one call, or each tensor alone if something is damaged."""
    try:
        everything = ckpt.read()
    except CkptfmtError:
        return lambda name: ckpt.read([name])[name]
    return lambda name: everything[name]


def copies(ckpt: ckptfmt.Checkpoint) -> Reader:
    def read(name: str) -> np.ndarray:
        array = ckpt.read([name], copy=True)[name]
        assert array.flags.writeable
        return array

    return read


ONE = Way("one", one_by_one, every=1)
WAYS = [
    ONE,
    Way("one through a descriptor", one_by_one, has_views=False),
    Way("views in pieces", all_at_once, in_pieces=True),
    Way("copies", copies),
    Way("copies in pieces", copies, in_pieces=True),
    Way("into arrays", into_arrays),
    Way("into arrays in pieces", into_arrays, in_pieces=True),
    Way("all through a descriptor", all_at_once, has_views=False),
    Way("all in pieces through a descriptor", all_at_once, has_views=False, in_pieces=True),
    Way("into arrays in pieces through a descriptor", into_arrays, has_views=False, in_pieces=True),
]


@pytest.fixture(params=WAYS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    chosen: Way = request.param
    if chosen.in_pieces:
        monkeypatch.setattr(bulk, "LARGE", 0)
        monkeypatch.setattr(pieces, "PIECE", 64)
    return chosen


def positions(content: bytes) -> range:
    """Return the offsets at which to damage a table."""
    return range(0, len(content), 1 if len(content) <= SMALL else 5)


def value_of(array: np.ndarray) -> Value:
    if array.dtype == object:
        return (array.shape, [item_of(item) for item in array.flat])
    return (array.shape, array.dtype, array.tobytes())


def item_of(item: bytes | ckptfmt.Variant) -> Value:
    if isinstance(item, bytes):
        return item
    return (item.type_name, item.metadata, [value_of(tensor) for tensor in item.tensors])


@dataclass(frozen=True)
class Case:
    """A golden checkpoint in memory."""

    prefix: str
    tables: tuple[str, ...]
    """The files of a V1 checkpoint; none for V2."""
    files: dict[str, bytes]
    values: dict[str, Value]
    """The value of each tensor, except those that have none (missing or overlapping slices)."""
    names: list[str]
    problems: list[ckptfmt.Problem]
    """What verify() finds in the undamaged checkpoint."""

    def open(self, path: str | None = None, content: bytes = b"") -> ckptfmt.Checkpoint:
        """Open the checkpoint, with other content in one file."""
        files = self.files if path is None else {**self.files, path: content}
        return open_files(files, prefix=self.prefix, tables=self.tables)

    @property
    def sorted_tables(self) -> list[str]:
        """Paths of the files that are sorted tables."""
        return list(self.tables) or [f"{self.prefix}.index"]

    @property
    def shards(self) -> list[str]:
        """Paths of the data files."""
        return [path for path in self.files if path not in self.sorted_tables]


@cache
def case_of(name: str) -> Case:
    found = find_checkpoint(load(name).path)
    paths = [*found.tables, *(Directories(LOCAL).data_files(found.prefix) if found.format == "v2" else ())]
    files = {path: Path(path).read_bytes() for path in paths}
    tables = found.tables if found.format == "v1" else ()
    ckpt = open_files(files, prefix=found.prefix, tables=tables)
    values = {}
    for tensor in load(name).tensors.values():
        if tensor.has_value:
            # tests/tensors/test_golden.py shows that it is what TensorFlow reads.
            values[tensor.name] = value_of(ckpt[tensor.name])
    return Case(found.prefix, tables, files, values, list(ckpt), ckpt.verify().problems)


CASES = [path.stem for path in sorted(GOLDEN.glob("*.json")) if path.stem != "many"]
V2 = pytest.mark.parametrize("name", [name for name in CASES if load(name).format != "v1"])
ALL = pytest.mark.parametrize("name", CASES)


def read_right(
    case: Case, ckpt: ckptfmt.Checkpoint, names: Iterable[str], way: Way = ONE
) -> dict[str, CkptfmtError]:
    """Read tensors, every one of them right or an error; return the errors."""
    read = way.reader(ckpt)
    errors = {}
    for name in names:
        try:
            got = value_of(read(name))
        except TensorNotFoundError:
            raise
        except CkptfmtError as error:
            errors[name] = error
        else:
            assert got == case.values.get(name), f"wrong value of {name!r}"
    assert all(map(str, errors.values()))
    return errors


def verify_agrees(case: Case, ckpt: ckptfmt.Checkpoint, errors: Container[str]) -> bool:
    """Whether verify() finds something new; it must if a tensor that had a value cannot be read."""
    report = ckpt.verify()
    if any(name in errors for name in case.values):
        assert not report.ok, "verify() finds nothing, though reading fails"
    assert all(problem.message for problem in report.problems)
    return report.problems != case.problems


def is_noticed(case: Case, path: str, content: bytes) -> bool:
    """Whether anything is wrong with this content of a table; wrong values and names are never returned."""
    try:
        ckpt = case.open(path, content)
    except CkptfmtError:
        return True
    try:
        names = list(ckpt)
    except CkptfmtError:
        # Single tensors may still be found, and must not be reported as missing.
        read_right(case, case.open(path, content), list(case.values)[:: max(1, len(case.values) // 3)])
        assert not case.open(path, content).verify().ok
        return True
    assert names == case.names
    errors = read_right(case, ckpt, names)
    return verify_agrees(case, ckpt, errors) or bool(errors.keys() & case.values.keys())


@ALL
def test_a_flipped_byte_of_a_table_is_noticed(name: str) -> None:
    case = case_of(name)
    for path in case.sorted_tables:
        content = case.files[path]
        table = Table(MemoryFile(path, content))
        covered = bytearray(len(content))
        for handle in (*table.handles, table.footer.index, table.footer.metaindex):
            size = handle.size + TRAILER_SIZE
            covered[handle.offset : handle.offset + size] = b"\x01" * size
        for at in positions(content):
            for bits in FLIPS:
                damaged = bytearray(content)
                damaged[at] ^= bits
                try:
                    noticed = is_noticed(case, path, bytes(damaged))
                except Exception as error:
                    raise AssertionError(f"byte {at} of {path} flipped by {bits}: {error!r}") from error
                assert noticed or not covered[at], f"byte {at} of {path} flipped by {bits}: not noticed"


@ALL
def test_a_table_cut_short_does_not_open(name: str) -> None:
    case = case_of(name)
    for path in case.sorted_tables:
        content = case.files[path]
        for size in positions(content):
            with pytest.raises(CorruptError):
                list(case.open(path, content[:size]))


class DataFile:
    """A data file of a checkpoint, damaged again and again while the index stays open."""

    def __init__(self, case: Case, path: str, way: Way = ONE) -> None:
        self.case = case
        disk = MemoryFilesystem(case.files, has_views=way.has_views)
        self._bundle = Bundle(CheckpointFiles(case.prefix, "v2", (f"{case.prefix}.index",)), disk)
        self._file = disk.files[path]
        self.content = case.files[path]
        number = int(path.rpartition(".data-")[2][:5])
        self.places = []
        """Name, start and stop of each tensor, or slice of a tensor, in the file."""
        for name, entry in ckptfmt.Checkpoint(self._bundle).entries.items():
            stored = [self._bundle.index.find_slice(entry, part) for part in entry.slices] or [entry]
            for piece in stored:
                if piece.shard == number and name in case.values:
                    assert piece.offset is not None
                    self.places.append((name, piece.offset, piece.offset + piece.nbytes))
        step = 1 if sum(len(case.files[shard]) for shard in case.shards) <= SMALL else 5
        self.positions = range(0, len(self.content), step * way.every)
        """The offsets to damage."""
        self.step = step * way.every * -(-len(self.content) * len(case.names) // READS_A_FILE)
        """The distance between the offsets whose damage is followed by reading all tensors."""

    def with_content(self, content: bytes) -> ckptfmt.Checkpoint:
        """Return the checkpoint with other content in the file, none of it read yet."""
        self._file.content = content
        return ckptfmt.Checkpoint(self._bundle)

    def at(self, byte: int) -> set[str]:
        """Names of the tensors that the byte at an offset belongs to."""
        return {name for name, start, stop in self.places if start <= byte < stop}

    def beyond(self, byte: int) -> set[str]:
        """Names of the tensors that reach an offset or are beyond it."""
        return {name for name, _, stop in self.places if stop > byte}


@V2
def test_a_flipped_byte_of_a_data_file_affects_the_tensors_it_belongs_to(name: str, way: Way) -> None:
    case = case_of(name)
    for path in case.shards:
        file = DataFile(case, path, way)
        for at in file.positions:
            hit = file.at(at)
            for bits in FLIPS:
                damaged = bytearray(file.content)
                damaged[at] ^= bits
                ckpt = file.with_content(bytes(damaged))
                try:
                    assert read_right(case, ckpt, hit, way).keys() == hit
                    if at % file.step == 0:
                        errors = read_right(case, ckpt, case.names, way)
                        assert errors.keys() & case.values.keys() == hit
                        assert verify_agrees(case, ckpt, errors) == bool(hit) or case.problems
                except Exception as error:
                    raise AssertionError(f"byte {at} of {path} flipped by {bits}: {error!r}") from error


@V2
def test_a_data_file_cut_short_affects_the_tensors_beyond_its_end(name: str, way: Way) -> None:
    case = case_of(name)
    for path in case.shards:
        file = DataFile(case, path, way)
        for size in file.positions:
            ckpt = file.with_content(file.content[:size])
            lost = file.beyond(size)
            hit = file.at(size) | file.at(size - 1)
            errors = read_right(case, ckpt, hit, way)
            assert errors.keys() == hit & lost, f"{path} cut to {size} bytes"
            assert all(type(error) is TruncatedError for error in errors.values())
            if size % file.step == 0:
                errors = read_right(case, ckpt, case.names, way)
                assert errors.keys() & case.values.keys() == lost, f"{path} cut to {size} bytes"
                assert verify_agrees(case, ckpt, errors) == bool(lost) or case.problems


@V2
def test_bytes_after_the_data_are_only_a_warning(name: str) -> None:
    case = case_of(name)
    for path in case.shards:
        ckpt = case.open(path, case.files[path] + b"left over")
        assert read_right(case, ckpt, case.values) == {}
        problems = [problem for problem in ckpt.verify().problems if problem not in case.problems]
        assert [(p.severity, p.kind, p.file) for p in problems] == [("warning", "orphan", path)]


@V2
def test_a_missing_data_file_affects_the_tensors_in_it(name: str, way: Way) -> None:
    case = case_of(name)
    for path in case.shards:
        files = {other: content for other, content in case.files.items() if other != path}
        ckpt = open_files(files, prefix=case.prefix, has_views=way.has_views)
        assert list(ckpt) == case.names
        errors = read_right(case, ckpt, case.values, way)
        assert errors.keys() == DataFile(case, path).beyond(-1)
        assert {type(error) for error in errors.values()} <= {CheckpointNotFoundError}
        report = ckpt.verify()
        assert not report.ok
        assert [problem.file for problem in report.problems if problem.kind == "missing"] == [path]


def test_without_verification_only_numbers_can_come_out_damaged() -> None:
    # verify=False is the caller's choice; values with a structure of their own are checked all the same.
    refused = set()
    for name in ("dtypes", "strings", "variants"):
        case = case_of(name)
        (path,) = case.shards
        for at in range(0, len(case.files[path]), 31):
            damaged = bytearray(case.files[path])
            damaged[at] ^= 0xFF
            ckpt = open_files({**case.files, path: bytes(damaged)}, prefix=case.prefix, verify=False)
            for name, entry in ckpt.entries.items():
                try:
                    same = value_of(ckpt[name]) == case.values[name]
                except CorruptError:
                    refused.add(entry.dtype.name)
                else:
                    assert same or entry.dtype.name != "variant"
    assert refused == {"string", "variant"}


def test_each_block_of_a_large_index_is_checked() -> None:
    case = case_of("many")
    (path,) = case.sorted_tables
    content = case.files[path]
    table = Table(MemoryFile(path, content))
    assert len(table.handles) > 2
    for handle in (*table.handles, table.footer.index):
        for at in (0, handle.size // 2, handle.size - 1, handle.size, handle.size + TRAILER_SIZE - 1):
            damaged = bytearray(content)
            damaged[handle.offset + at] ^= 0x01
            with pytest.raises(ChecksumError) as caught:
                list(case.open(path, bytes(damaged)))
            assert (caught.value.file, caught.value.offset) == (path, handle.offset)


def test_intact_blocks_of_a_damaged_index_are_read_by_one_name_or_by_many() -> None:
    case = case_of("many")
    (path,) = case.sorted_tables
    table = Table(MemoryFile(path, case.files[path]))
    handle = table.handles[-1]
    lost = {key.decode() for key, _ in table.block(handle).items()}
    names = [name for name in case.open(path, case.files[path]) if name not in lost]
    damaged = bytearray(case.files[path])
    damaged[handle.offset] ^= 0x01
    ckpt = case.open(path, bytes(damaged))
    assert names[0] in ckpt
    assert list(ckpt.read(names)) == names
    assert list(ckpt.renamed({f"new/{name}": name for name in names})) == [f"new/{name}" for name in names]
    with pytest.raises(ChecksumError):
        ckpt.read([*names, *lost])
