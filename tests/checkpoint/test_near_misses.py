"""Paths that lead nowhere: what the error suggests."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckptfmt.checkpoint.find import find_checkpoint
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
