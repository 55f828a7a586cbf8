"""The files of a checkpoint: what their bytes say, links, data files, and files that are something else."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.checkpoint.files import stale_shards
from ckptfmt.checkpoint.find import find_checkpoint
from ckptfmt.errors import (
    ChecksumError,
    CorruptError,
    NotReadableError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.filenames import shard_path
from ckptfmt.storage.local import LOCAL
from ckptfmt.wire.crc32c import crc32c, mask
from tests.support.checkpoints import list_checkpoints, not_found, v1, v2, write_state
from tests.support.table_writer import RawBlock, encode_blocks, encode_table, encode_v1, write_bundle

POSIX = os.name == "posix"


def _zip(member: bytes) -> bytes:
    return b"PK\x03\x04" + bytes(22) + len(member).to_bytes(2, "little") + bytes(2) + member + b"data" * 20


_NODE = b"\x0a\x01x\x12\x0bPlaceholder"


_RECORD = (12).to_bytes(8, "little") + mask(crc32c((12).to_bytes(8, "little"))).to_bytes(4, "little")


OTHER_FORMATS = {
    "HDF5": (
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        "an HDF5 file, as Keras writes, not .*: ckptfmt.open_tensors reads it",
    ),
    "Keras 3": (_zip(b"metadata.json"), r"a Keras model \(.keras\), not"),
    "npz": (
        _zip(b"arr_0.npy"),
        "a NumPy .npz archive, not .*: ckptfmt.open_tensors reads it, and numpy.load",
    ),
    "torch zip": (_zip(b"archive/data.pkl"), "a PyTorch file, not"),
    "zip": (
        _zip(b"model/model.ckpt.index"),
        "a zip archive, not .*: it contains model/model.ckpt.index; unpack it first",
    ),
    "npy": (b"\x93NUMPY\x01\x00" + bytes(100), "a NumPy array, not"),
    "safetensors": ((60).to_bytes(8, "little") + b'{"__metadata__":{}}'.ljust(80), "a safetensors file, not"),
    "pickle": (b"\x80\x04\x95" + bytes(100), "a Python pickle, perhaps of PyTorch, not"),
    "gzip": (b"\x1f\x8b\x08" + bytes(100), "a gzip-compressed file, not .*: unpack it first"),
    "tar": (b"model.ckpt.index".ljust(257, b"\0") + b"ustar\x0000" + bytes(300), "a tar archive, not"),
    "TFLite": (b"\x1c\x00\x00\x00TFL3" + bytes(100), "a TensorFlow Lite model, not"),
    "LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "a Git LFS pointer, not the file it stands for, .*: run 'git lfs pull'",
    ),
    "HTML": (b"\n<!DOCTYPE html><html>404</html>", "an HTML page, not"),
    "JSON": (b'{"model": 1}', "a JSON file, not"),
    "GraphDef": (b"\x0a" + bytes([len(_NODE)]) + _NODE, r"a GraphDef \(a graph, perhaps frozen\), not"),
    "MetaGraphDef": (b"\x0a\x09\x12\x07\x0a\x05\x0a\x03Abs", r"a MetaGraphDef \(.meta\), not"),
    "SavedModel": (b"\x08\x01\x12\x00", "a SavedModel message, not"),
    "GraphDef text": (b"# by hand\nnode {\n  name: 'x'\n}\n", "a GraphDef as text, not"),
    "MetaGraphDef text": (b"meta_info_def {\n}\n", "a MetaGraphDef as text, not"),
    "SavedModel text": (b"saved_model_schema_version: 1\n", "a SavedModel as text, not"),
    "TFRecord": (_RECORD + bytes(20), "a TFRecord file, not"),
    "events": (
        _RECORD + b"\x09" + bytes(8) + b"\x1a\x0dbrain.Event:2" + bytes(9),
        "a TensorBoard event file, not",
    ),
    "text": (b"hello, world\n" * 10, "a text file, not a TensorFlow checkpoint: it begins 'hello, world'$"),
}


@pytest.mark.parametrize("name", ["file.bin", "model.index", "export-00000-of-00001"])
@pytest.mark.parametrize(("data", "message"), OTHER_FORMATS.values(), ids=list(OTHER_FORMATS))
def test_a_file_of_another_format_is_reported_as_what_it_is(data: bytes, message: str, name: str) -> None:
    Path(name).write_bytes(data)
    with pytest.raises(UnsupportedError, match=f"^{name}: {message}") as caught:
        find_checkpoint(name)
    assert "not a TensorFlow checkpoint" in str(caught.value)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.sampled_from([b"", *(data for data, _ in OTHER_FORMATS.values())]), rest=st.binary(max_size=200)
)
def test_no_bytes_make_another_error(head: bytes, rest: bytes) -> None:
    for name in ("file", "file.index", "checkpoint"):
        Path(name).write_bytes(head[: len(rest)] + rest)
        with suppress(CorruptError, UnsupportedError):
            find_checkpoint(name)
        Path(name).unlink()


@pytest.mark.parametrize("index", [True, False], ids=["index", "V1"])
def test_every_flipped_byte_and_every_cut_opens_right_or_is_reported(index: bool) -> None:
    write_bundle("model")
    good = Path("model.index").read_bytes() if index else encode_v1()
    path = Path("model.index" if index else "old")
    right = v2("model") if index else v1("old")
    flipped = [good[:i] + bytes([good[i] ^ 0x55]) + good[i + 1 :] for i in range(len(good))]
    for data in (*flipped, *(good[:size] for size in range(len(good)))):
        path.write_bytes(data)
        with suppress(CorruptError, UnsupportedError):
            assert find_checkpoint(str(path)) == right


class TestDamagedFiles:
    def test_an_empty_file(self) -> None:
        Path("model.index").touch()
        for path in ("model", "model.index"):
            with pytest.raises(TruncatedError) as caught:
                find_checkpoint(path)
            assert (caught.value.file, caught.value.wanted, caught.value.available) == ("model.index", 48, 0)

    def test_bytes_of_an_unknown_kind(self) -> None:
        Path("weights").write_bytes(bytes(range(1, 255)))
        with pytest.raises(CorruptError, match=r"^weights: an unknown kind of file, .*: 254 bytes") as caught:
            find_checkpoint("weights")
        assert (caught.value.file, caught.value.offset) == ("weights", None)

    def test_a_table_that_is_not_a_checkpoint(self) -> None:
        Path("000005.ldb").write_bytes(encode_table([(b"key", b"value")]))
        with pytest.raises(CorruptError, match="a table without the empty key: not a checkpoint"):
            find_checkpoint("000005.ldb")

    def test_an_empty_table(self) -> None:
        Path("x.index").write_bytes(encode_table([]))
        with pytest.raises(CorruptError, match="a table without the empty key: not a checkpoint"):
            find_checkpoint("x")

    def test_a_damaged_block(self) -> None:
        write_bundle("model")
        data = bytearray(Path("model.index").read_bytes())
        data[0] ^= 1
        Path("model.index").write_bytes(data)
        with pytest.raises(ChecksumError) as caught:
            find_checkpoint("model")
        assert caught.value.file == "model.index"

    @pytest.mark.parametrize(
        "contents", [b"", b"\xff" * 4, b"\x00\x00\x7f" + bytes(8)], ids=["no restarts", "restarts", "value"]
    )
    def test_a_block_that_does_not_decode(self, contents: bytes) -> None:
        Path("model.index").write_bytes(encode_blocks([RawBlock(b"z", contents)]))
        with pytest.raises(CorruptError) as caught:
            find_checkpoint("model")
        assert caught.value.file == "model.index"

    @pytest.mark.parametrize("header", [b"\x80", b"\xff" * 11], ids=["cut", "too long"])
    def test_a_header_whose_tag_does_not_decode(self, header: bytes) -> None:
        Path("model.index").write_bytes(encode_table([(b"", header)]))
        with pytest.raises(CorruptError) as caught:
            find_checkpoint("model")
        assert caught.value.file == "model.index"

    def test_a_header_with_all_fields_left_out_is_v2(self) -> None:
        Path("model.index").write_bytes(encode_table([(b"", b"")]))
        assert find_checkpoint("model") == v2("model")


@pytest.mark.skipif(not POSIX, reason="made with POSIX calls")
class TestFileSystem:
    def test_links_are_followed(self) -> None:
        write_bundle("real")
        Path("link.index").symlink_to("real.index")
        Path("dir").mkdir()
        Path("dir/x.index").symlink_to("../real.index")
        Path("link.data-00000-of-00001").symlink_to("real.data-00000-of-00001")
        Path("dir/x.data-00000-of-00001").symlink_to("../real.data-00000-of-00001")
        assert find_checkpoint("link") == v2("link")
        assert find_checkpoint("dir") == v2(os.path.join("dir", "x"))

    def test_a_link_to_an_index_leads_to_its_data(self, folder: Path) -> None:
        Path("far").mkdir()
        Path("dir").mkdir()
        write_bundle("far/real")
        Path("dir/best.index").symlink_to("../far/real.index")
        target = v2(os.path.realpath(folder / "far/real"))
        for path in ("dir/best", "dir/best.index", "dir/best.data-00000-of-00001", "dir"):
            assert find_checkpoint(path) == target
            assert ckptfmt.open(path)["w"].shape == (2, 3)
        assert list_checkpoints("dir") == [target]
        write_state("dir", 'model_checkpoint_path: "best"')
        assert find_checkpoint("dir") == target

    def test_a_link_in_the_same_directory_is_not_a_second_checkpoint(self) -> None:
        write_bundle("real")
        Path("best.index").symlink_to("real.index")
        assert find_checkpoint("best") == v2("real")
        assert find_checkpoint(".") == v2("./real")
        assert find_checkpoint("./best.index") == v2("./real")

    def test_a_link_whose_target_has_no_data_either_stays(self) -> None:
        write_bundle("real")
        Path("real.data-00000-of-00001").unlink()
        Path("blob").write_bytes(Path("real.index").read_bytes())
        Path("best.index").symlink_to("real.index")
        Path("other.index").symlink_to("blob")
        assert find_checkpoint("best") == v2("best")
        assert find_checkpoint("other") == v2("other")

    def test_a_link_in_a_directory_that_may_not_be_listed_stays(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_bundle("real")
        Path("best.index").symlink_to("real.index")

        def refuse(path: str) -> object:
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr(os, "scandir", refuse)
        assert find_checkpoint("best") == v2("best")

    def test_broken_and_circular_links_are_skipped(self) -> None:
        write_bundle("a")
        Path("broken.index").symlink_to("nowhere")
        Path("circle").symlink_to("circle")
        assert find_checkpoint(".") == v2("./a")

    def test_a_pipe_is_not_opened(self) -> None:
        os.mkfifo("pipe")
        os.mkfifo("model.index")
        write_bundle("a")
        assert "it is neither a file nor a directory" in str(not_found("pipe"))
        assert find_checkpoint(".") == v2("./a")

    @pytest.mark.skipif(sys.platform != "win32" and os.geteuid() == 0, reason="root may read everything")
    def test_what_may_not_be_read(self) -> None:
        write_bundle("a")
        Path("a.index").chmod(0)
        with pytest.raises(NotReadableError):
            find_checkpoint("a")

    def test_what_may_not_be_read_or_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As above, for those who run tests as root."""

        def refuse(path: str, *_: object, **__: object) -> object:
            raise PermissionError(13, "Permission denied", path)

        Path("dir").mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", refuse)
            with pytest.raises(NotReadableError, match=r"^dir: Permission denied$"):
                find_checkpoint("dir")
            with pytest.raises(NotReadableError, match=r"^dir: Permission denied$"):
                find_checkpoint("dir/model")
        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", refuse)
            with pytest.raises(NotReadableError, match=r"^dir/model: Permission denied$"):
                find_checkpoint("dir/model")


def test_shard_path_has_at_least_five_digits() -> None:
    assert shard_path("a/b", 0, 1) == "a/b.data-00000-of-00001"
    assert shard_path("a/b", 123456, 1234567) == "a/b.data-123456-of-1234567"


def test_stale_shards_are_the_data_files_of_another_number() -> None:
    write_bundle("m", num_shards=2)
    for name in (
        "m.data-00000-of-00001",
        "m.data-00002-of-00002",
        "m.data-00000-of-00002x",
        "mm.data-00000-of-00001",
    ):
        Path(name).touch()
    assert stale_shards(LOCAL, "m", 2) == ["m.data-00000-of-00001", "m.data-00002-of-00002"]
    assert stale_shards(LOCAL, "nothing", 1) == []


def test_stale_shards_of_a_prefix_with_a_doubled_separator() -> None:
    Path("run").mkdir()
    write_bundle("run/m", num_shards=2)
    Path("run/m.data-00000-of-00001").touch()
    assert stale_shards(LOCAL, "run//m", 2) == ["run//m.data-00000-of-00001"]


class TestAnIncompleteTable:
    """A table without its end, or with more after it, is told from other files by its first bytes."""

    @pytest.mark.parametrize("compression", [0, 1], ids=["plain", "snappy"])
    @pytest.mark.parametrize("cut", [1, 8, 47, 48, 60])
    def test_a_cut_index_says_so(self, tmp_path: Path, compression: int, cut: int) -> None:
        write_bundle(tmp_path / "ckpt")
        index = tmp_path / "ckpt.index"
        whole = index.read_bytes()
        # A block of snappy begins with its size, and with a literal of up to 60 bytes, here of 40.
        index.write_bytes((b"\xd2\x0c\x9c" if compression else b"") + whole[:-cut])
        for path in (tmp_path / "ckpt", index):
            with pytest.raises(
                CorruptError, match="cut short, or its end is damaged: it begins like"
            ) as caught:
                ckptfmt.open(path)
            assert caught.value.file == str(index)
        with pytest.raises(CorruptError, match="cut short, or its end is damaged"):
            ckptfmt.open(tmp_path)

    def test_a_cut_v1_checkpoint_says_so(self, tmp_path: Path) -> None:
        path = tmp_path / "model.ckpt"
        path.write_bytes(encode_v1({"w": np.zeros(20, np.float32)})[:-50])
        with pytest.raises(CorruptError, match=r"cut short, .*: it begins like a V1 checkpoint but does not"):
            ckptfmt.open(path)

    @pytest.mark.parametrize("added", [b"\r\n", bytes(4096), b"<html>", b"x" * 300], ids=repr)
    def test_bytes_after_the_end_are_told(self, tmp_path: Path, added: bytes) -> None:
        write_bundle(tmp_path / "ckpt")
        index = tmp_path / "ckpt.index"
        size = index.stat().st_size
        index.write_bytes(index.read_bytes() + added)
        with pytest.raises(CorruptError, match=f"{len(added)} bytes follow the end of the index") as caught:
            ckptfmt.open(tmp_path / "ckpt")
        assert (caught.value.file, caught.value.offset) == (str(index), size)

    @pytest.mark.tensorflow
    def test_what_tensorflow_writes_is_recognised(self, tmp_path: Path, tensorflow: Any) -> None:
        variable = tensorflow.Variable(tensorflow.ones((3, 4)))
        path = Path(tensorflow.train.Checkpoint(v=variable).write(str(tmp_path / "ckpt")) + ".index")
        data = path.read_bytes()
        for size in range(48, len(data)):
            path.write_bytes(data[:size])
            with pytest.raises(CorruptError, match="cut short"):
                ckptfmt.open(tmp_path / "ckpt")
