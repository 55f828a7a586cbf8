"""Paths that lead nowhere: what the error suggests."""

from __future__ import annotations

from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.checkpoint.find import find_checkpoint
from ckptfmt.errors import CheckpointNotFoundError
from tests.support.checkpoints import not_found
from tests.support.table_writer import encode_v1, write_bundle


class TestNearMisses:
    def test_data_shards_without_an_index(self) -> None:
        write_bundle("model.ckpt-10", num_shards=2)
        Path("model.ckpt-10.index").unlink()
        error = not_found("model.ckpt-10")
        assert str(error) == (
            "model.ckpt-10: no checkpoint found: tried model.ckpt-10.index, model.ckpt-10; "
            "model.ckpt-10.data-00000-of-00002, model.ckpt-10.data-00001-of-00002 exist, but "
            "model.ckpt-10.index does not"
        )
        assert error.tried == ("model.ckpt-10.index", "model.ckpt-10")
        shard = "model.ckpt-10.data-00000-of-00002"
        assert not_found(shard).tried == (shard, "model.ckpt-10.index", "model.ckpt-10")
        assert "model.ckpt-10.index does not" in str(not_found(shard))

    def test_a_graph_without_values(self) -> None:
        Path("model.meta").write_bytes(b"")
        error = not_found("model.meta")
        assert str(error) == (
            "model.meta: no checkpoint found: tried model.meta, model.index, model; "
            "model.meta holds only the graph: model.index does not exist; "
            "ckptfmt.read_meta_graph reads it and 'ckptfmt graph' shows it"
        )

    def test_an_index_that_was_never_finished(self) -> None:
        Path("model.index.tempstate42").write_bytes(b"")
        assert "left by a save that did not finish: model.index.tempstate42" in str(not_found("model"))

    def test_a_missing_step(self) -> None:
        for step in (90, 100):
            write_bundle(f"model.ckpt-{step}")
        error = not_found("model.ckpt-10")
        assert str(error) == (
            "model.ckpt-10: no checkpoint found: tried model.ckpt-10.index, model.ckpt-10; "
            "did you mean 'model.ckpt-100' or 'model.ckpt-90'?"
        )

    def test_a_missing_shard_of_a_v1_checkpoint(self) -> None:
        for shard in (0, 2):
            Path(f"m-{shard:05d}-of-00003").write_bytes(encode_v1())
        assert str(not_found("m-00001-of-00003")).endswith(
            "; shard 1 of 3 is missing; 'm-?????-of-00003' opens the others"
        )

    def test_names_are_compared_without_their_directory(self) -> None:
        directory = Path("a/very/long/directory/name/that/makes/all/paths/alike")
        directory.mkdir(parents=True)
        write_bundle(directory / "zzz")
        error = not_found(f"{directory.as_posix()}/model")
        assert "did you mean" not in str(error)
        assert str(error).endswith(f"available: {directory.as_posix()}/zzz")

    def test_an_index_asked_for_of_a_v1_checkpoint(self) -> None:
        Path("model").write_bytes(encode_v1())
        error = not_found("model.index")
        assert str(error) == "model.index: no checkpoint found: tried model.index, model; model exists"

    def test_a_missing_directory(self) -> None:
        assert str(not_found("nowhere/model")).endswith("; no such directory: nowhere")

    def test_a_path_below_a_file(self) -> None:
        Path("file").write_text("x")
        assert str(not_found("file/model")).endswith("; no such directory: file")

    def test_missing_v1_shards(self) -> None:
        Path("export-00000-of-00003").write_bytes(encode_v1())
        assert "did you mean 'export-?????-of-00003'?" in str(not_found("export-?????-of-00002"))
        assert "did you mean 'export-?????-of-00003'?" in str(not_found("export-00000-of-00002"))

    def test_nothing_is_expanded(self) -> None:
        write_bundle("model")
        for path in ("~", "mod*", "$HOME", "mode?", "[m]odel"):
            not_found(path)

    @pytest.mark.parametrize("path", ["nul\0byte", "x" * 5000, "nul\0dir/x", "x" * 300 + "/model"])
    def test_paths_that_no_file_can_have(self, path: str) -> None:
        not_found(path)

    def test_the_empty_path(self) -> None:
        assert str(not_found("")) == "path: got an empty string, want that of a checkpoint"
        assert not_found("").tried == ()

    @pytest.mark.parametrize("path", [b"model", None, 3])
    def test_what_is_not_a_path(self, path: object) -> None:
        with pytest.raises(TypeError):
            find_checkpoint(path)  # type: ignore[arg-type]


class TestSavesThatDidNotFinish:
    """TensorFlow writes parts into ``PREFIX_temp`` (``PREFIX_temp_HEX`` in 1.x), then moves them."""

    @pytest.mark.parametrize("name", ["m-1_temp", "m-1_temp_0a1b2c"])
    def test_a_whole_checkpoint_in_the_temporary_directory_is_named(self, name: str) -> None:
        Path(name).mkdir()
        part = f"{name}/part-00000-of-00001"
        write_bundle(part)
        Path("m-1.meta").write_bytes(b"")
        Path("m-1.index.tempstate123").write_bytes(b"")
        hints = (
            f"a save that did not finish left a whole checkpoint in {name}: open {part!r}; "
            "left by a save that did not finish: m-1.index.tempstate123; "
            "m-1.meta holds only the graph: m-1.index does not exist; "
            "ckptfmt.read_meta_graph reads it and 'ckptfmt graph' shows it"
        )
        assert str(not_found("m-1")) == f"m-1: no checkpoint found: tried m-1.index, m-1; {hints}"
        Path("checkpoint").write_text('model_checkpoint_path: "m-1"')
        for path in (".", "checkpoint"):
            error = str(not_found(path)).replace("./", "")
            assert error.endswith(f"{hints}; the directory has no other checkpoint")
        assert ckptfmt.open(part).verify().ok

    def test_so_it_is_in_a_directory_with_nothing_else(self) -> None:
        Path("run/m-1_temp").mkdir(parents=True)
        write_bundle("run/m-1_temp/part-00000-of-00001")
        error = str(not_found("run"))
        assert "whole checkpoint in run/m-1_temp: open 'run/m-1_temp/part-00000-of-00001'" in error
        assert "look in" not in error
        assert ckptfmt.open("run/m-1_temp").verify().ok

    def test_the_parts_of_several_devices_are_counted(self) -> None:
        Path("m_temp").mkdir()
        for part in (0, 2):
            write_bundle(f"m_temp/part-{part:05d}-of-00003")
        assert (
            "left 2 of 3 parts of a checkpoint in m_temp: "
            "open m_temp/part-00000-of-00003, m_temp/part-00002-of-00003"
        ) in str(not_found("m"))

    @pytest.mark.parametrize("missing", [".index", ".data-00000-of-00001"])
    def test_incomplete_parts_are_not_called_whole(self, missing: str) -> None:
        Path("m_temp").mkdir()
        part = write_bundle("m_temp/part-00000-of-00001")
        Path(part + missing).unlink()
        error = str(not_found("m"))
        assert "left parts of a checkpoint in m_temp: part-00000-of-00001." in error
        assert "whole" not in error

    def test_an_empty_or_foreign_directory_is_not_mentioned(self) -> None:
        for name in ("m_temp", "m_temp_ature"):
            Path(name).mkdir()
        Path("m_temp/notes.txt").write_text("x")
        assert "did not finish" not in str(not_found("m"))

    def test_leftovers_of_an_earlier_save_are_not_mentioned(self) -> None:
        Path("m_temp").mkdir()
        write_bundle("m_temp/part-00000-of-00001")
        write_bundle("m")
        assert "did not finish" not in str(not_found("n"))

    def test_a_saved_model_that_was_not_finished(self) -> None:
        Path("model/variables/variables_temp").mkdir(parents=True)
        Path("model/saved_model.pb").write_bytes(b"")
        write_bundle("model/variables/variables_temp/part-00000-of-00001")
        assert "open 'model/variables/variables_temp/part-00000-of-00001'" in str(not_found("model"))


def test_a_directory_with_a_name_like_it_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    write_bundle(tmp_path / "digits" / "m")
    with pytest.raises(CheckpointNotFoundError, match=r"did you mean '.*digits'"):
        ckptfmt.open(tmp_path / "digit")
