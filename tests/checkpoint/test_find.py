from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ckptfmt
from ckptfmt.checkpoint.directory import Directories
from ckptfmt.checkpoint.files import CheckpointFiles, stale_shards
from ckptfmt.checkpoint.find import find_checkpoint
from ckptfmt.checkpoint.scan import MAX_GUESSED, scan
from ckptfmt.errors import (
    CheckpointNotFoundError,
    ChecksumError,
    CorruptError,
    NotReadableError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.filenames import shard_path
from ckptfmt.storage import local
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.local import LOCAL, MappedFile
from ckptfmt.wire.crc32c import crc32c, mask
from tests.support.table_writer import RawBlock, encode_blocks, encode_table, encode_v1, write_bundle

POSIX = os.name == "posix"
ANY_BYTES = sys.platform == "linux"
"""Whether file names may hold any bytes but 0 and /."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tests run in a folder of their own, so that the paths in messages are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def v2(prefix: str) -> CheckpointFiles:
    return CheckpointFiles(prefix, "v2", (prefix + ".index",))


def v1(*paths: str, prefix: str | None = None, missing: tuple[str, ...] = ()) -> CheckpointFiles:
    return CheckpointFiles(prefix or paths[0], "v1", paths, missing)


def write_state(directory: str, *lines: str) -> None:
    Path(directory, "checkpoint").write_text("\n".join(lines), encoding="utf-8")


def list_checkpoints(directory: str | os.PathLike[str]) -> list[CheckpointFiles]:
    return scan(Directories(LOCAL), os.fspath(directory)).checkpoints


def not_found(path: str | os.PathLike[str]) -> CheckpointNotFoundError:
    with pytest.raises(CheckpointNotFoundError) as caught:
        find_checkpoint(path)
    assert isinstance(caught.value, FileNotFoundError)
    assert "\n" not in str(caught.value)
    return caught.value


# --- what a path may be --------------------------------------------------------------------------------


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

    def test_a_graph_that_is_not_there_still_names_its_checkpoint(self) -> None:
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

    def test_a_v1_file_called_like_the_state_file(self) -> None:
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

    def test_a_missing_shard_is_told(self) -> None:
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


class TestStateFile:
    @pytest.fixture(autouse=True)
    def checkpoints(self) -> None:
        Path("run").mkdir()
        for step in (9, 10):
            write_bundle(f"run/ckpt-{step}")

    @pytest.mark.parametrize(
        "stored",
        [
            "ckpt-9",
            "/home/other/run/ckpt-9",
            "C:\\\\train\\\\run\\\\ckpt-9",
            "old/ckpt-9",
            "./ckpt-9",
            "ckpt-9.index",
        ],
        ids=[
            "relative",
            "absolute of another machine",
            "of Windows",
            "moved relative",
            "dotted",
            "with suffix",
        ],
    )
    def test_a_directory_opens_the_latest(self, stored: str) -> None:
        write_state("run", f'model_checkpoint_path: "{stored}"')
        for path in ("run", "run/", "run/checkpoint"):
            assert os.path.normpath(find_checkpoint(path).prefix) == os.path.join("run", "ckpt-9")

    def test_an_absolute_path_that_is_there_is_taken(self, folder: Path) -> None:
        write_bundle(folder / "elsewhere")
        write_state("run", f"model_checkpoint_path: '{(folder / 'elsewhere').as_posix()}'")
        assert find_checkpoint("run").prefix == (folder / "elsewhere").as_posix()

    def test_a_state_file_of_another_name(self) -> None:
        Path("run/my_latest").write_text('# by hand\nmodel_checkpoint_path: "ckpt-9"\n')
        assert find_checkpoint("run/my_latest") == v2(os.path.join("run", "ckpt-9"))

    def test_a_prefix_called_checkpoint_comes_before_the_state_file(self) -> None:
        """As Keras writes it: ModelCheckpoint("run/checkpoint", save_weights_only=True)."""
        write_bundle("run/checkpoint")
        write_state("run", 'model_checkpoint_path: "ckpt-9"')
        assert find_checkpoint("run/checkpoint") == v2("run/checkpoint")
        assert find_checkpoint("run") == v2(os.path.join("run", "ckpt-9"))
        write_state("run", 'model_checkpoint_path: "checkpoint"')
        assert find_checkpoint("run") == v2(os.path.join("run", "checkpoint"))

    def test_a_directory_with_a_state_file_comes_before_a_prefix_of_its_name(self) -> None:
        write_bundle("run")
        assert find_checkpoint("run") == v2("run")
        write_state("run", 'model_checkpoint_path: "ckpt-9"')
        assert find_checkpoint("run") == v2(os.path.join("run", "ckpt-9"))

    def test_a_latest_that_is_gone_is_not_replaced_by_another(self) -> None:
        write_state(
            "run", 'model_checkpoint_path: "/old/ckpt-11"', 'all_model_checkpoint_paths: "/old/ckpt-10"'
        )
        Path("run/ckpt-11.data-00000-of-00001").write_bytes(b"")
        error = not_found("run")
        base = os.path.join("run", "")
        assert str(error) == (
            f"{base}checkpoint: names '/old/ckpt-11' as the latest checkpoint, which is missing: "
            f"tried /old/ckpt-11, {base}ckpt-11; "
            "ckpt-11.data-00000-of-00001 exists, but ckpt-11.index does not; "
            f"available: {base}ckpt-9, {base}ckpt-10"
        )
        assert error.tried == ("/old/ckpt-11.index", "/old/ckpt-11", f"{base}ckpt-11.index", f"{base}ckpt-11")

    def test_a_very_long_path_is_shortened_where_it_is_quoted(self) -> None:
        write_state("run", f'model_checkpoint_path: "{"x" * 100_000}"')
        error = not_found("run")
        assert len(str(error)) < 2000
        assert "(100002 characters) as the latest checkpoint, which is missing" in str(error)
        assert error.tried[1] == os.path.join("run", "x" * 100_000)

    def test_a_state_file_alone(self, folder: Path) -> None:
        Path("alone").mkdir()
        write_state("alone", 'model_checkpoint_path: "ckpt-1"')
        error = not_found("alone")
        assert str(error).endswith("tried " + os.path.join("alone", "ckpt-1") + "; no other exists beside it")

    def test_garbage_names_the_file_and_what_else_is_there(self) -> None:
        write_state("run", 'model_checkpoint_path: "ckpt-9"', "nonsense")
        with pytest.raises(CorruptError, match=r"name a checkpoint instead: .*ckpt-9, .*ckpt-10") as caught:
            find_checkpoint("run")
        assert caught.value.file == os.path.join("run", "checkpoint")

    @pytest.mark.parametrize("text", ["", "\n", 'model_checkpoint_path: ""'])
    def test_a_state_file_that_names_nothing_is_damaged(self, text: str) -> None:
        write_state("run", text)
        for path in ("run", "run/checkpoint"):
            with pytest.raises(CorruptError, match="model_checkpoint_path: got none"):
                find_checkpoint(path)

    def test_state_files_that_name_each_other(self) -> None:
        write_state("run", 'model_checkpoint_path: "other"')
        Path("run/other").write_text('model_checkpoint_path: "checkpoint"')
        with pytest.raises(UnsupportedError, match=r"a checkpoint state file, not a TensorFlow checkpoint$"):
            find_checkpoint("run")
        with pytest.raises(UnsupportedError, match=r"a checkpoint state file, not a TensorFlow checkpoint$"):
            find_checkpoint("run/other")

    def test_a_state_file_that_names_itself(self) -> None:
        write_state("run", 'model_checkpoint_path: "checkpoint"')
        assert "names 'checkpoint' as the latest checkpoint, which is missing" in str(not_found("run"))

    def test_a_directory_called_checkpoint(self) -> None:
        Path("run/checkpoint").mkdir()
        write_bundle("run/checkpoint/x")
        assert find_checkpoint("run/checkpoint") == v2(os.path.join("run/checkpoint", "x"))
        assert "2 checkpoints" in str(not_found("run"))


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

    def test_of_very_many_ten_are_listed(self) -> None:
        for step in range(12):
            Path(f"run/{step}").write_bytes(encode_v1())
        assert str(not_found("run")).endswith(os.path.join("run", "9") + " and 2 more")

    def test_unfinished_files_are_passed_over(self) -> None:
        write_bundle("run/a")
        index = Path("run/a.index").read_bytes()
        Path("run/b.index.tempstate12345678901234567890").write_bytes(index)
        Path("run/v1.tempstate7").write_bytes(encode_v1())
        assert find_checkpoint("run") == v2(os.path.join("run", "a"))

    def test_a_copy_of_the_index_does_not_make_it_ambiguous(self) -> None:
        write_bundle("run/a")
        Path("run/a.index.bak").write_bytes(Path("run/a.index").read_bytes())
        assert find_checkpoint("run") == v2(os.path.join("run", "a"))

    def test_other_tables_and_other_index_files_are_passed_over(self) -> None:
        """LevelDB's own tables have the same magic, and no empty key."""
        write_bundle("run/a")
        Path("run/000005.ldb").write_bytes(encode_table([(b"key", b"value")]))
        Path("run/train.tfrecord.index").write_text("0 100\n")
        Path("run/pack.index").write_bytes(bytes(range(200)))
        assert find_checkpoint("run") == v2(os.path.join("run", "a"))

    def test_the_damaged_index_of_the_only_checkpoint_is_what_is_wrong(self) -> None:
        write_bundle("run/a")
        Path("run/a.index").write_bytes(Path("run/a.index").read_bytes()[:-1])
        for path in ("run", "run/a", "run/a.index", "run/a.data-00000-of-00001"):
            if path == "run":
                assert find_checkpoint(path) == v2(os.path.join("run", "a"))
                continue
            with pytest.raises(CorruptError, match="not a table: got magic"):
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
            "left from a save that did not finish: a.index.tempstate12; "
            "b.meta holds only the graph: b.index does not exist; "
            "ckptfmt.read_meta_graph reads it, 'ckptfmt graph' shows it"
        )

    def test_an_empty_directory_and_one_of_other_files(self) -> None:
        assert str(not_found("run")) == "run: no checkpoint in this directory; it has no files"
        Path("run/notes.txt").write_text("hello")
        assert str(not_found("run")) == "run: no checkpoint in this directory; it has other files"

    def test_checkpoints_one_level_down_are_pointed_at(self) -> None:
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
                "ckptfmt.open_saved_model reads it, 'ckptfmt model' shows it"
            )
            assert error.tried == (index,)


class TestRenamedIndex:
    @pytest.mark.parametrize("name", ["model.v1.bin", "model.v1.index.bak", "model.v1"])
    def test_its_shards_are_found_by_its_name_or_less_its_suffixes(self, name: str) -> None:
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
        assert f"left from a save that did not finish: {name}" in str(not_found("."))

    def test_without_shards_it_still_lists(self) -> None:
        write_bundle("a")
        Path("a.index").replace("weights.bin")
        assert find_checkpoint("weights.bin") == CheckpointFiles("weights.bin", "v2", ("weights.bin",))


# --- near misses -----------------------------------------------------------------------------------------


class TestNearMisses:
    def test_data_shards_without_an_index(self) -> None:
        write_bundle("model.ckpt-10", num_shards=2)
        Path("model.ckpt-10.index").unlink()
        error = not_found("model.ckpt-10")
        assert str(error) == (
            "model.ckpt-10: no checkpoint: tried model.ckpt-10.index, model.ckpt-10; "
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
            "model.meta: no checkpoint: tried model.meta, model.index, model; "
            "model.meta holds only the graph: model.index does not exist; "
            "ckptfmt.read_meta_graph reads it, 'ckptfmt graph' shows it"
        )

    def test_an_index_that_was_never_finished(self) -> None:
        Path("model.index.tempstate42").write_bytes(b"")
        assert "left from a save that did not finish: model.index.tempstate42" in str(not_found("model"))

    def test_a_step_that_is_not_there(self) -> None:
        for step in (90, 100):
            write_bundle(f"model.ckpt-{step}")
        error = not_found("model.ckpt-10")
        assert str(error) == (
            "model.ckpt-10: no checkpoint: tried model.ckpt-10.index, model.ckpt-10; "
            "did you mean 'model.ckpt-100' or 'model.ckpt-90'?"
        )

    def test_names_are_compared_without_their_directory(self) -> None:
        directory = Path("a/very/long/directory/name/that/makes/all/paths/alike")
        directory.mkdir(parents=True)
        write_bundle(directory / "zzz")
        error = not_found(f"{directory.as_posix()}/model")
        assert "did you mean" not in str(error)
        assert str(error).endswith(f"available: {directory.as_posix()}/zzz")

    def test_an_index_asked_for_where_the_checkpoint_is_v1(self) -> None:
        Path("model").write_bytes(encode_v1())
        error = not_found("model.index")
        assert str(error) == "model.index: no checkpoint: tried model.index, model; model exists"

    def test_a_directory_that_is_not_there(self) -> None:
        assert str(not_found("nowhere/model")).endswith("; no such directory: nowhere")

    def test_a_path_below_a_file(self) -> None:
        Path("file").write_text("x")
        assert str(not_found("file/model")).endswith("; no such directory: file")

    def test_v1_shards_that_are_not_there(self) -> None:
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
        assert str(not_found("")) == "the path of the checkpoint is empty"
        assert not_found("").tried == ()

    @pytest.mark.parametrize("path", [b"model", None, 3])
    def test_what_is_no_path(self, path: object) -> None:
        with pytest.raises(TypeError):
            find_checkpoint(path)  # type: ignore[arg-type]


# --- files that are no checkpoint ------------------------------------------------------------------------


def _zip(member: bytes) -> bytes:
    return b"PK\x03\x04" + bytes(22) + len(member).to_bytes(2, "little") + bytes(2) + member + b"data" * 20


_NODE = b"\x0a\x01x\x12\x0bPlaceholder"
_RECORD = (12).to_bytes(8, "little") + mask(crc32c((12).to_bytes(8, "little"))).to_bytes(4, "little")

OTHER_FORMATS = {
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file, as Keras writes, not .*: h5py reads it"),
    "Keras 3": (_zip(b"metadata.json"), r"a Keras 3 model \(.keras\), not"),
    "npz": (_zip(b"arr_0.npy"), "a NumPy .npz archive, not .*: numpy.load reads it"),
    "torch zip": (_zip(b"archive/data.pkl"), "a PyTorch file, not"),
    "zip": (_zip(b"model/model.ckpt.index"), "a zip archive, not .*: unpack it first"),
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
    "text": (b"hello, world\n" * 10, "a text file, not a TensorFlow checkpoint$"),
}


@pytest.mark.parametrize("name", ["file.bin", "model.index", "export-00000-of-00001"])
@pytest.mark.parametrize(("data", "message"), OTHER_FORMATS.values(), ids=list(OTHER_FORMATS))
def test_a_file_of_another_format_is_called_what_it_is(data: bytes, message: str, name: str) -> None:
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
def test_every_flipped_byte_and_every_cut_opens_right_or_is_said(index: bool) -> None:
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

    def test_bytes_of_no_known_kind(self) -> None:
        Path("weights").write_bytes(bytes(range(1, 255)))
        with pytest.raises(CorruptError, match=r"^weights @0xf6: not a table: got magic") as caught:
            find_checkpoint("weights")
        assert (caught.value.file, caught.value.offset) == ("weights", 246)

    def test_a_table_that_is_no_checkpoint(self) -> None:
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

    def test_a_link_to_an_index_leads_to_where_its_data_is(self, folder: Path) -> None:
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

    def test_a_link_in_the_same_directory_is_no_second_checkpoint(self) -> None:
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

    def test_broken_and_circular_links_are_passed_over(self) -> None:
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
