"""Finding a checkpoint by any path that leads to it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.checkpoint.find import find_checkpoint
from tests.support.checkpoints import ANY_BYTES, not_found, v1, v2, write_state
from tests.support.table_writer import encode_v1, write_bundle


class TestV2Paths:
    @pytest.fixture(autouse=True)
    def checkpoint(self) -> None:
        Path("run").mkdir()
        write_bundle("run/model.ckpt-10", num_shards=2)
        Path("run/model.ckpt-10.meta").write_bytes(b"\x0a\x02\x2a\x00")

    @pytest.mark.parametrize(
        "path",
        [
            "run/model.ckpt-10",
            "run/model.ckpt-10.index",
            "run/model.ckpt-10.data-00000-of-00002",
            "run/model.ckpt-10.data-00001-of-00002",
            "run/model.ckpt-10.data-?????-of-00002",
            "run/model.ckpt-10.data-?????-of-?????",
            "run/model.ckpt-10.meta",
            "run/model.ckpt-10/",
        ],
    )
    def test_each_of_its_files_leads_to_the_checkpoint(self, path: str) -> None:
        assert find_checkpoint(path) == v2("run/model.ckpt-10")

    def test_so_do_a_path_object_and_an_absolute_path(self, folder: Path) -> None:
        assert find_checkpoint(Path("run") / "model.ckpt-10") == v2(os.path.join("run", "model.ckpt-10"))
        prefix = str(folder / "run" / "model.ckpt-10")
        assert find_checkpoint(prefix) == v2(prefix)

    @pytest.mark.parametrize(
        "prefix", ["./run/model.ckpt-10", "run//model.ckpt-10", "run/../run/model.ckpt-10"]
    )
    def test_a_prefix_stays_as_it_was_given(self, prefix: str) -> None:
        assert find_checkpoint(prefix).prefix == prefix
        assert find_checkpoint(prefix + ".index").prefix == prefix

    def test_a_missing_data_shard_does_not_matter(self) -> None:
        Path("run/model.ckpt-10.data-00001-of-00002").unlink()
        for path in ("run/model.ckpt-10", "run", "run/model.ckpt-10.data-00001-of-00002"):
            assert find_checkpoint(path).prefix == os.path.join("run", "model.ckpt-10")

    def test_a_missing_graph_still_names_its_checkpoint(self) -> None:
        Path("run/model.ckpt-10.meta").unlink()
        assert find_checkpoint("run/model.ckpt-10.meta") == v2("run/model.ckpt-10")

    def test_a_directory_whose_only_checkpoint_it_is(self) -> None:
        assert find_checkpoint("run") == v2(os.path.join("run", "model.ckpt-10"))
        assert find_checkpoint("run/") == v2("run/model.ckpt-10")
        assert find_checkpoint(Path("run")) == v2(os.path.join("run", "model.ckpt-10"))

    def test_the_current_directory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir("run")
        assert find_checkpoint(".") == v2(os.path.join(".", "model.ckpt-10"))
        assert find_checkpoint("model.ckpt-10") == v2("model.ckpt-10")


@pytest.mark.parametrize(
    "name",
    [
        "model",
        "m.v1.2 final",
        "modèle-é",
        "模型",
        "ckpt[1]",
        "50%off",
        "a.index",
        "b.meta",
        "c.data-00000-of-00001",
        "~x",
    ]
    + (
        ["all*", "what?", "x-?????-of-00002", "back\\slash", "new\nline", "surrogate\udcff"]
        if ANY_BYTES
        else []
    ),
)
def test_a_prefix_may_hold_anything(name: str) -> None:
    write_bundle(name)
    assert find_checkpoint(name) == v2(name)
    assert find_checkpoint(name + ".index") == v2(name)
    assert find_checkpoint(name + ".data-00000-of-00001") == v2(name)
    assert find_checkpoint(".") == v2(os.path.join(".", name))


class TestV1Paths:
    def test_a_file_of_any_name(self) -> None:
        for name in ("model.ckpt", "weights.bin", "export", "odd.index", "odd.meta", "模型", "a b"):
            Path(name).write_bytes(encode_v1())
            assert find_checkpoint(name) == v1(name)
            Path(name).unlink()

    def test_the_graph_beside_it(self) -> None:
        Path("model.ckpt").write_bytes(encode_v1())
        Path("model.ckpt.meta").write_bytes(b"\x0a\x00")
        assert find_checkpoint("model.ckpt.meta") == v1("model.ckpt")

    def test_a_directory_whose_only_checkpoint_it_is(self) -> None:
        Path("run").mkdir()
        Path("run/weights.bin").write_bytes(encode_v1())
        Path("run/notes.txt").write_text("x" * 100)
        assert find_checkpoint("run") == v1(os.path.join("run", "weights.bin"))

    def test_a_v1_file_named_like_the_state_file(self) -> None:
        Path("run").mkdir()
        Path("run/checkpoint").write_bytes(encode_v1())
        assert find_checkpoint("run/checkpoint") == v1("run/checkpoint")
        assert find_checkpoint("run") == v1(os.path.join("run", "checkpoint"))

    def test_v2_comes_before_v1_of_the_same_name(self) -> None:
        Path("model").write_bytes(encode_v1())
        write_bundle("model")
        assert find_checkpoint("model") == v2("model")


class TestV1Shards:
    PREFIX = "run/export-?????-of-00002"
    SHARDS = ("run/export-00000-of-00002", "run/export-00001-of-00002")

    @pytest.fixture(autouse=True)
    def checkpoint(self) -> None:
        Path("run").mkdir()
        for i, path in enumerate(self.SHARDS):
            Path(path).write_bytes(encode_v1({f"w{i}": np.zeros(2, np.float32)}))
        Path("run/export.meta").write_bytes(b"\x0a\x00")

    @pytest.mark.parametrize(
        "path",
        [
            PREFIX,
            "run/export-?????-of-?????",
            *SHARDS,
            "run/export",
            "run/export.meta",
            "run/export-?????-of-00002/",
        ],
    )
    def test_each_path_opens_the_whole_set(self, path: str) -> None:
        assert find_checkpoint(path) == v1(*self.SHARDS, prefix=self.PREFIX)

    def test_so_does_the_directory(self) -> None:
        found = find_checkpoint("run")
        assert [Path(path) for path in found.tables] == [Path(path) for path in self.SHARDS]
        assert found.prefix == os.path.join("run", "export-?????-of-00002")

    def test_and_the_state_file_that_has_the_literal_pattern(self) -> None:
        write_state("run", 'model_checkpoint_path: "/old/export-?????-of-00002"')
        assert find_checkpoint("run").prefix == os.path.join("run", "export-?????-of-00002")
        assert len(find_checkpoint("run").tables) == 2

    def test_a_missing_shard_is_reported(self) -> None:
        Path(self.SHARDS[0]).unlink()
        for path in (self.PREFIX, self.SHARDS[1], "run/export"):
            assert find_checkpoint(path) == v1(self.SHARDS[1], prefix=self.PREFIX, missing=self.SHARDS[:1])

    def test_two_sets_of_one_name_are_ambiguous_only_without_their_number(self) -> None:
        Path("run/export-00000-of-00003").write_bytes(encode_v1())
        assert find_checkpoint(self.PREFIX).tables == self.SHARDS
        error = not_found("run/export-?????-of-?????")
        assert str(error) == (
            "run/export-?????-of-?????: 2 checkpoints have this name; name one: "
            "run/export-?????-of-00002, run/export-?????-of-00003"
        )
        assert error.tried == ("run/export-?????-of-00002", "run/export-?????-of-00003")

    def test_data_sets_in_shards_do_not_count(self) -> None:
        Path("run/export-00000-of-00010").write_bytes(b"records")
        assert find_checkpoint("run/export").tables == self.SHARDS
        assert len(find_checkpoint("run").tables) == 2


class TestSavedModel:
    @pytest.fixture(autouse=True)
    def saved_model(self) -> None:
        Path("export/variables").mkdir(parents=True)
        Path("export/saved_model.pb").write_bytes(b"\x08\x01\x12\x00")
        write_bundle("export/variables/variables")

    @pytest.mark.parametrize(
        "path",
        ["export", "export/", "export/variables", "export/saved_model.pb", "export/variables/variables"],
    )
    def test_each_path_leads_to_the_variables(self, path: str) -> None:
        assert Path(find_checkpoint(path).prefix) == Path("export/variables/variables")

    @pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb"])
    def test_its_other_file_names(self, name: str) -> None:
        Path("export/saved_model.pb").rename(f"export/{name}")
        assert Path(find_checkpoint(f"export/{name}").prefix) == Path("export/variables/variables")

    def test_variables_without_their_saved_model(self) -> None:
        Path("export/saved_model.pb").unlink()
        assert Path(find_checkpoint("export").prefix) == Path("export/variables/variables")

    def test_a_state_file_beside_the_variables_of_another_machine(self) -> None:
        write_state(
            "export/variables", 'model_checkpoint_path: "/saved_models/1559327208/variables/variables"'
        )
        assert Path(find_checkpoint("export/variables").prefix) == Path("export/variables/variables")

    def test_in_a_training_directory_the_state_file_decides_as_in_tensorflow(self) -> None:
        write_bundle("export/ckpt-1")
        write_state("export", 'model_checkpoint_path: "ckpt-1"')
        assert Path(find_checkpoint("export").prefix) == Path("export/ckpt-1")
        write_state("export", 'model_checkpoint_path: "gone"')
        assert Path(find_checkpoint("export").prefix) == Path("export/variables/variables")

    def test_without_variables(self) -> None:
        Path("export/variables/variables.index").unlink()
        index = os.path.join("export", "variables", "variables.index")
        for path in ("export", "export/saved_model.pb"):
            error = not_found(path)
            assert str(error) == (
                f"export: a SavedModel without variables: {index} does not exist; "
                "variables.data-00000-of-00001 exists, but variables.index does not; "
                "ckptfmt.open_saved_model reads it and 'ckptfmt model' shows it"
            )
            assert error.tried == (index,)


class TestRenamedIndex:
    @pytest.mark.parametrize("name", ["model.v1.bin", "model.v1.index.bak", "model.v1"])
    def test_its_shards_are_found_by_its_name_with_or_without_suffixes(self, name: str) -> None:
        write_bundle("model.v1")
        Path("model.v1.index").replace(name)
        assert find_checkpoint(name) == CheckpointFiles("model.v1", "v2", (name,))
        path = os.path.join(".", name)
        assert find_checkpoint(".") == CheckpointFiles(os.path.join(".", "model.v1"), "v2", (path,))

    def test_an_unfinished_index_opens_only_by_its_name(self) -> None:
        write_bundle("model")
        name = "model.index.tempstate123"
        Path("model.index").replace(name)
        assert find_checkpoint(name) == CheckpointFiles("model", "v2", (name,))
        assert f"left by a save that did not finish: {name}" in str(not_found("."))

    def test_without_shards_it_still_lists(self) -> None:
        write_bundle("a")
        Path("a.index").replace("weights.bin")
        assert find_checkpoint("weights.bin") == CheckpointFiles("weights.bin", "v2", ("weights.bin",))
