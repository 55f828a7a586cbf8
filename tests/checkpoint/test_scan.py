"""Scanning a directory of many files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ckptfmt.checkpoint.scan import MAX_GUESSED
from ckptfmt.storage import local
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.local_file import MappedFile
from tests.support.checkpoints import ANY_BYTES, list_checkpoints, not_found
from tests.support.table_writer import encode_v1, write_bundle


class TestManyFiles:
    """Directories are listed once, and what cannot be meant is not opened."""

    @pytest.fixture(autouse=True)
    def directory(self) -> None:
        Path("run").mkdir()

    @pytest.fixture
    def listed(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        scandir, paths = os.scandir, []
        monkeypatch.setattr(os, "scandir", lambda path: (paths.append(path), scandir(path))[1])
        return paths

    @pytest.fixture
    def opened(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        paths = []

        def open_file(path: str, directory: str) -> RandomAccessFile:
            paths.append(path)
            return MappedFile(path, directory)

        monkeypatch.setitem(local.BACKENDS, "mmap", open_file)
        return paths

    def test_damaged_indexes(self, listed: list[str]) -> None:
        for step in range(50):
            Path(f"run/{step}.index").write_bytes(b"damaged")
            Path(f"run/{step}.data-00000-of-00001").touch()
        assert len(list_checkpoints("run")) == 50
        assert listed == ["run"]
        listed.clear()
        assert "50 checkpoints" in str(not_found("run"))
        assert listed == ["run"]

    def test_renamed_indexes(self, listed: list[str]) -> None:
        write_bundle("run/a")
        for i in range(20):
            Path(f"run/a.{i}.x.y.z").write_bytes(Path("run/a.index").read_bytes())
        Path("run/a.index").unlink()
        assert {files.prefix for files in list_checkpoints("run")} == {os.path.join("run", "a")}
        assert listed == ["run"]

    def test_v1_shards(self, listed: list[str], opened: list[str]) -> None:
        for shard in range(1, 51):
            Path(f"run/w-{shard:05d}-of-00051").write_bytes(encode_v1())
        (files,) = list_checkpoints("run")
        assert (len(files.tables), files.missing) == (50, (os.path.join("run", "w-00000-of-00051"),))
        assert listed == ["run"]
        assert set(opened) == {os.path.join("run", "w-00001-of-00051")}

    def test_a_damaged_first_v1_shard(self) -> None:
        for shard in range(3):
            Path(f"run/w-{shard:05d}-of-00003").write_bytes(encode_v1() if shard else b"damaged")
        assert [len(files.tables) for files in list_checkpoints("run")] == [3]
        prefix = os.path.join("run", "w-?????-of-00003")
        assert str(not_found("run/typo")).endswith(f"available: {prefix}")

    @pytest.mark.skipif(not ANY_BYTES, reason="a file name with question marks")
    def test_graphs_of_v1_shards(self, listed: list[str]) -> None:
        for i in range(20):
            Path(f"run/w{i}-?????-of-00001.meta").touch()
        error = str(not_found("run"))
        assert error.count("holds only the graph") == 10
        assert listed == ["run"]

    def test_a_typo_among_unrelated_files(self, listed: list[str], opened: list[str]) -> None:
        write_bundle("run/model.ckpt-10")
        for i in range(MAX_GUESSED + 500):
            Path(f"run/{i}.jpg").write_bytes(b"x" * 50)
            Path(f"run/x-{i:05d}-of-99999").write_bytes(b"x" * 50)
        Path("run/zmodel").write_bytes(encode_v1())
        Path("run/zmodel.meta").touch()
        Path("run/zother").write_bytes(encode_v1())
        base = os.path.join("run", "")
        assert str(not_found("run/model.ckpt-1")).endswith(f"; did you mean 'run{os.sep}model.ckpt-10'?")
        assert listed == ["run"]
        assert len(set(opened)) <= MAX_GUESSED + 3
        assert f"{base}zother" not in opened
        assert "zmodel'" in str(not_found("run/zmode"))
        assert "zother'" in str(not_found("run/zothe"))
