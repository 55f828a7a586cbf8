"""Removing a checkpoint removes its files, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ckptfmt.checkpoint.checkpoint_writer import CheckpointWriter
from ckptfmt.checkpoint.removal import remove_checkpoint, remove_v1
from ckptfmt.errors import NotWritableError
from ckptfmt.storage.local import LOCAL
from tests.support.table_writer import encode_v1, write_bundle

pytestmark = pytest.mark.usefixtures("folder")


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_all_files_of_a_prefix_are_removed() -> None:
    write_bundle(Path("ckpt-1"), {}, 2)
    write_bundle(Path("ckpt-10"), {}, 1)
    for extra in ("ckpt-1.meta", "ckpt-1.data-00000-of-00003", "ckpt-1.txt", "ckpt-1"):
        Path(extra).write_bytes(b"")
    remove_checkpoint(LOCAL, "ckpt-1")
    assert names() == ["ckpt-1", "ckpt-1.txt", "ckpt-10.data-00000-of-00001", "ckpt-10.index"]


@pytest.mark.parametrize("prefix", ["[1]", "*", "ckpt-?", "a{b,c}"])
def test_a_prefix_is_not_a_pattern(prefix: str) -> None:
    for path in (prefix, "1", "ckpt-1", "ab"):
        write_bundle(Path(path), {}, 1)
    remove_checkpoint(LOCAL, prefix)
    assert {name.partition(".")[0] for name in names()} == {"1", "ckpt-1", "ab"}


def test_data_files_without_an_index_are_removed() -> None:
    write_bundle(Path("ckpt-1"), {}, 1)
    os.unlink("ckpt-1.index")
    remove_checkpoint(LOCAL, "ckpt-1")
    assert names() == []


def test_v1_files_are_removed() -> None:
    Path("old").write_bytes(encode_v1({}))
    for shard in range(2):
        Path(f"model-{shard:05d}-of-00002").write_bytes(encode_v1({}))
    Path("model-00000-of-00003").write_bytes(encode_v1({}))
    Path("model.meta").write_bytes(b"")
    remove_checkpoint(LOCAL, "old")
    remove_checkpoint(LOCAL, "model-?????-of-00002")
    assert names() == ["model-00000-of-00003"]


def test_a_file_that_is_not_a_checkpoint_stays() -> None:
    Path("notes").write_text("mine")
    remove_v1(LOCAL, "notes")
    remove_checkpoint(LOCAL, "notes")
    remove_checkpoint(LOCAL, "missing/notes")
    assert names() == ["notes"]


def test_a_prefix_that_is_being_written_stays() -> None:
    write_bundle(Path("ckpt-1"), {}, 1)
    with CheckpointWriter("ckpt-1", overwrite=True) as writer:
        writer.add("w", 1)
        with pytest.raises(NotWritableError, match="another program"):
            remove_checkpoint(LOCAL, "ckpt-1")
    assert "ckpt-1.index" in names()
    remove_checkpoint(LOCAL, "ckpt-1")
    assert names() == []


def test_a_prefix_that_is_a_directory() -> None:
    with CheckpointWriter("weights/") as writer:
        writer.add("w", 1)
    remove_checkpoint(LOCAL, "weights/.")
    assert list(Path("weights").iterdir()) == []
