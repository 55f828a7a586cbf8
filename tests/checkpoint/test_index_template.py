"""Small indexes that are told from earlier ones by their checksums alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint import bundle_index
from ckptfmt.checkpoint.index_template import MAX_TEMPLATES
from ckptfmt.errors import ChecksumError, CorruptError, LimitError
from ckptfmt.wire.crc32c import crc32c
from tests.support.memory_filesystem import open_bundle
from tests.support.table_writer import HEADER, RawBlock, encode_block, encode_blocks, encode_entry

Item = tuple[bytes, bytes]


@pytest.fixture(autouse=True)
def _no_templates() -> Iterator[None]:
    bundle_index._templates.clear()
    yield
    bundle_index._templates.clear()


def save(step: int, names: tuple[bytes, ...] = (b"bias", b"kernel")) -> tuple[list[Item], bytes]:
    """Return the items of an index and the data file, as a training saves them at a step."""
    items, data = [(b"", HEADER)], b""
    for number, name in enumerate(names):
        content = np.full((2, 3), step + number, np.float32).tobytes()
        entry = encode_entry(shape=(2, 3), offset=len(data), size=len(content), crc=crc32c(content))
        items.append((name, entry))
        data += content
    return items, data


def index(items: list[Item], separator: bytes = b"z") -> bytes:
    """Return a table of one block."""
    return encode_blocks([RawBlock(separator, encode_block(items))])


def read(step: int, **names: tuple[bytes, ...]) -> dict[str, list[list[float]]]:
    items, data = save(step, **names)
    return {name: array.tolist() for name, array in open_bundle(index(items), data).read().items()}


def test_each_checkpoint_of_a_training_has_its_own_values() -> None:
    for step in range(5):
        values = read(step)
        assert list(values) == ["bias", "kernel"]
        assert values == {"bias": [[step] * 3] * 2, "kernel": [[step + 1] * 3] * 2}
    assert len(bundle_index._templates) == 1


def test_entries_from_a_template_are_those_decoded_without() -> None:
    open_bundle(index(save(0)[0]), b"").entries["bias"]
    items, _ = save(7)
    known = dict(open_bundle(index(items), b"").entries.items())
    bundle_index._templates.clear()
    assert known == dict(open_bundle(index(items), b"").entries.items())


def test_names_and_places_of_the_same_length_are_told_apart() -> None:
    assert list(read(0)) == ["bias", "kernel"]
    assert list(read(0, names=(b"bins", b"kernel"))) == ["bins", "kernel"]
    items, data = save(0)
    longer = encode_entry(shape=(2, 3), offset=25, size=24, crc=crc32c(data[24:]))
    entries = open_bundle(index([*items[:2], (b"kernel", longer)]), b"").entries
    assert [entry.offset for entry in entries.values()] == [0, 25]


def test_damage_is_found_after_intact_checkpoints() -> None:
    read(0)
    items, data = save(1)
    with pytest.raises(ChecksumError, match="tensor 'kernel': checksum mismatch"):
        open_bundle(index(items), data[:-1] + b"\1").read()


def test_a_separator_that_hides_a_name_is_an_error_after_intact_checkpoints() -> None:
    read(0)
    items, data = save(1)
    with pytest.raises(CorruptError, match="last key of the block: got b'kernel'"):
        open_bundle(index(items, b"c"), data).read()


def test_limits_count_the_names_of_a_known_index(tmp_path: Path) -> None:
    for step in range(2):
        items, data = save(step)
        (tmp_path / f"c-{step}.index").write_bytes(index(items))
        (tmp_path / f"c-{step}.data-00000-of-00001").write_bytes(data)
    ckptfmt.open(tmp_path / "c-0").read()
    with pytest.raises(LimitError, match="max_names"):
        ckptfmt.open(tmp_path / "c-1", limits=ckptfmt.Limits(max_names=1)).read()


def test_checksums_that_are_not_last_are_read_too() -> None:
    for step in range(3):
        items, data = save(step)
        # Another tool may write the fields in another order: here the shape at the end.
        _, entry = items[2]
        moved = entry[:2] + entry[2 + 2 + entry[3] :] + entry[2 : 4 + entry[3]]
        values = open_bundle(index([*items[:2], (b"kernel", moved)]), data).read()
        assert values["kernel"].tolist() == [[step + 1] * 3] * 2
    assert not bundle_index._templates


def test_few_templates_are_kept() -> None:
    for size in range(1, 2 * MAX_TEMPLATES):
        read(0, names=(b"n" * size,))
    assert len(bundle_index._templates) == MAX_TEMPLATES
