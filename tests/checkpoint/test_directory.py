"""Directories that lead to a checkpoint without a state file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ckptfmt.checkpoint.find import find_checkpoint
from ckptfmt.errors import (
    ChecksumError,
    CorruptError,
)
from tests.support.checkpoints import list_checkpoints, not_found, v1, v2, write_state
from tests.support.table_writer import encode_table, encode_v1, write_bundle


class TestDirectoryWithoutState:
    @pytest.fixture(autouse=True)
    def directory(self) -> None:
        Path("run").mkdir()

    def test_several_are_listed_in_natural_order(self) -> None:
        for step in (10, 9, 100):
            write_bundle(f"run/ckpt-{step}")
        Path("run/old").write_bytes(encode_v1())
        error = not_found("run")
        base = os.path.join("run", "")
        assert str(error) == (
            "run: 4 checkpoints and no file 'checkpoint' that says which is the latest; "
            f"name one: {base}ckpt-9, {base}ckpt-10, {base}ckpt-100, {base}old"
        )
        assert error.tried == (f"{base}checkpoint", os.path.join("run", "variables", "variables.index"))

    def test_at_most_ten_are_listed(self) -> None:
        for step in range(12):
            Path(f"run/{step}").write_bytes(encode_v1())
        assert str(not_found("run")).endswith(os.path.join("run", "9") + " and 2 more")

    def test_unfinished_files_are_skipped(self) -> None:
        write_bundle("run/a")
        index = Path("run/a.index").read_bytes()
        Path("run/b.index.tempstate12345678901234567890").write_bytes(index)
        Path("run/v1.tempstate7").write_bytes(encode_v1())
        assert find_checkpoint("run") == v2(os.path.join("run", "a"))

    def test_a_copy_of_the_index_does_not_make_it_ambiguous(self) -> None:
        write_bundle("run/a")
        Path("run/a.index.bak").write_bytes(Path("run/a.index").read_bytes())
        assert find_checkpoint("run") == v2(os.path.join("run", "a"))

    def test_other_tables_and_other_index_files_are_skipped(self) -> None:
        """LevelDB's own tables have the same magic, and no empty key."""
        write_bundle("run/a")
        Path("run/000005.ldb").write_bytes(encode_table([(b"key", b"value")]))
        Path("run/train.tfrecord.index").write_text("0 100\n")
        Path("run/pack.index").write_bytes(bytes(range(200)))
        assert find_checkpoint("run") == v2(os.path.join("run", "a"))

    def test_files_that_macos_adds_are_no_checkpoints(self) -> None:
        write_bundle("run/a")
        for name in ("a.index", "a.data-00000-of-00001", "checkpoint"):
            Path(f"run/._{name}").write_bytes(b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(100))
        assert find_checkpoint("run") == v2(os.path.join("run", "a"))

    def test_the_damaged_index_of_the_only_checkpoint_is_what_is_wrong(self) -> None:
        write_bundle("run/a")
        Path("run/a.index").write_bytes(Path("run/a.index").read_bytes()[:-1])
        for path in ("run", "run/a", "run/a.index", "run/a.data-00000-of-00001"):
            if path == "run":
                assert find_checkpoint(path) == v2(os.path.join("run", "a"))
                continue
            with pytest.raises(CorruptError, match=r"cut short, or its end is damaged: .*: got magic"):
                find_checkpoint(path)

    def test_a_damaged_v1_file_alone_is_what_is_wrong(self) -> None:
        damaged = bytearray(encode_v1())
        damaged[5] ^= 1
        Path("run/a").write_bytes(damaged)
        with pytest.raises(ChecksumError):
            find_checkpoint("run")

    def test_data_without_an_index(self) -> None:
        Path("run/a.data-00000-of-00001").write_bytes(b"")
        Path("run/a.meta").write_bytes(b"")
        Path("run/a.index.tempstate12").write_bytes(b"")
        Path("run/b.meta").write_bytes(b"")
        assert str(not_found("run")) == (
            "run: no checkpoint in this directory; a.data-00000-of-00001 exists, but a.index does not; "
            "left by a save that did not finish: a.index.tempstate12; "
            "b.meta holds only the graph: b.index does not exist; "
            "ckptfmt.read_meta_graph reads it and 'ckptfmt graph' shows it"
        )

    def test_an_empty_directory_and_one_of_other_files(self) -> None:
        assert str(not_found("run")) == "run: no checkpoint in this directory; it contains no files"
        Path("run/notes.txt").write_text("hello")
        assert (
            str(not_found("run")) == "run: no checkpoint in this directory; none of its files belongs to one"
        )

    def test_checkpoints_one_level_down_are_suggested(self) -> None:
        Path("run/train").mkdir()
        Path("run/empty").mkdir()
        write_bundle("run/train/a")
        assert str(not_found("run")) == (
            "run: no checkpoint in this directory; look in " + os.path.join("run", "train")
        )

    def test_list_checkpoints(self) -> None:
        write_bundle("run/ckpt-10")
        write_bundle("run/ckpt-9")
        Path("run/w-00000-of-00001").write_bytes(encode_v1())
        Path("run/ckpt-9.index").write_bytes(b"damaged")
        write_state("run", 'model_checkpoint_path: "ckpt-10"')
        base = os.path.join("run", "")
        assert list_checkpoints(Path("run")) == [
            v2(f"{base}ckpt-9"),
            v2(f"{base}ckpt-10"),
            v1(f"{base}w-00000-of-00001", prefix=f"{base}w-?????-of-00001"),
        ]
        assert list_checkpoints("nowhere") == []
