"""The state file of a directory, and the checkpoint it leads to."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from ckptfmt.checkpoint.find import find_checkpoint
from ckptfmt.checkpoint.state_file import (
    MAX_STATE_BYTES,
    CheckpointState,
    latest_checkpoint,
    read_checkpoint_state,
)
from ckptfmt.errors import CorruptError, NotReadableError, UnsupportedError
from tests.support.checkpoints import not_found, v2, write_state
from tests.support.table_writer import encode_v1, write_bundle

FULL = """\
model_checkpoint_path: "ckpt-3"
all_model_checkpoint_paths: "ckpt-2"
all_model_checkpoint_paths: "ckpt-3"
all_model_checkpoint_timestamps: 1795247177.7651331
all_model_checkpoint_timestamps: 1795247177.7721477
last_preserved_timestamp: 1795247176.7255173
"""


@pytest.fixture(autouse=True)
def run(folder: Path) -> None:
    (folder / "run").mkdir()


def write(text: str | bytes, name: str = "checkpoint") -> None:
    Path("run", name).write_bytes(text.encode() if isinstance(text, str) else text)


def read(text: str | bytes) -> CheckpointState:
    write(text)
    state = read_checkpoint_state("run")
    assert state is not None
    return state


# --- what the file says --------------------------------------------------------------------------------


def test_all_fields_are_read_and_paths_kept_as_stored() -> None:
    assert read(FULL) == CheckpointState(
        directory="run",
        model_checkpoint_path="ckpt-3",
        all_model_checkpoint_paths=("ckpt-2", "ckpt-3"),
        all_model_checkpoint_timestamps=(1795247177.7651331, 1795247177.7721477),
        last_preserved_timestamp=1795247176.7255173,
    )


@pytest.mark.parametrize(
    "text",
    [
        FULL,
        FULL * 2,
        'model_checkpoint_path: "a b/c!#[x]~"\n',
        'model_checkpoint_path: "first"\nmodel_checkpoint_path: "last"\n',
        'model_checkpoint_path: "w"\nall_model_checkpoint_timestamps: 17\n',
        'model_checkpoint_path: "w"\nlast_preserved_timestamp: 1.5\nlast_preserved_timestamp: 2.25\n',
    ],
)
def test_lines_as_tensorflow_writes_them_are_read_as_protobuf_reads_them(text: str) -> None:
    # Because of the comment, protobuf's parser reads the second one.
    assert read(text) == read(f"{text}# end\n")


def test_missing_fields_are_empty() -> None:
    state = read("model_checkpoint_path: 'a'")
    assert state.all_model_checkpoint_paths == ()
    assert state.all_model_checkpoint_timestamps == ()
    assert state.last_preserved_timestamp == 0.0


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('model_checkpoint_path: "modèle"', "modèle"),
        (r'model_checkpoint_path: "mod\303\250le"', "modèle"),
        (r'model_checkpoint_path: "a\"b\\c"', 'a"b\\c'),
        ("# saved\nmodel_checkpoint_path : 'a' # latest", "a"),
        ('model_checkpoint_path: "a" "b"\n  "c"', "abc"),
        ('model_checkpoint_path: "a"; all_model_checkpoint_paths: ["a"]', "a"),
    ],
    ids=["UTF-8", "octal", "escapes", "comments", "adjacent strings", "separators and lists"],
)
def test_the_text_format_in_all_its_forms(text: str, path: str) -> None:
    assert read(text).model_checkpoint_path == path


def test_no_file_is_none() -> None:
    assert read_checkpoint_state("run") is None
    assert read_checkpoint_state("nowhere") is None
    assert read_checkpoint_state(Path("run"), "other") is None
    Path("run/checkpoint").mkdir()
    assert read_checkpoint_state("run") is None


def test_a_file_of_another_name() -> None:
    write(FULL, "latest")
    state = read_checkpoint_state(Path("run"), "latest")
    assert state is not None
    assert state.path == os.path.join("run", "latest")
    assert read_checkpoint_state("run") is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("garbage", 1),
        ('model_checkpoint_path: "a"\nnew_field: 3', 2),
        ('model_checkpoint_path: "a', 1),
        ('model_checkpoint_path: "a"\n\nlast_preserved_timestamp: "x"', 3),
        ("model_checkpoint_path: 3", 1),
        (b'model_checkpoint_path: "\xff"', 1),
        (b"\x80\x04\x95" + bytes(40), 1),
        (b"\n\n" + encode_v1(), 9),
        ("{" * 5000, 1),
    ],
    ids=[
        "word",
        "unknown field",
        "open string",
        "wrong type",
        "number",
        "not UTF-8",
        "pickle",
        "V1",
        "braces",
    ],
)
def test_what_does_not_parse_is_damaged(
    text: str | bytes, line: int, caplog: pytest.LogCaptureFixture
) -> None:
    write(text)
    with pytest.raises(
        CorruptError, match=f"not a tensorflow.CheckpointState message: line {line}(, column [0-9]+)?: "
    ) as caught:
        read_checkpoint_state("run")
    assert caught.value.file == os.path.join("run", "checkpoint")
    # TensorFlow warns and goes on without.
    with caplog.at_level(logging.WARNING, logger="ckptfmt"):
        assert latest_checkpoint("run") is None
    assert [record.getMessage() for record in caplog.records] == [f"checkpoint state ignored: {caught.value}"]


@pytest.mark.parametrize(
    "text", ["", "# nothing", 'model_checkpoint_path: ""', 'all_model_checkpoint_paths: "a"']
)
def test_without_a_latest_path_both_functions_raise_as_tensorflow_does(text: str) -> None:
    write(text)
    for function in (read_checkpoint_state, latest_checkpoint):
        with pytest.raises(CorruptError, match="model_checkpoint_path: got none, want the path") as caught:
            function("run")
        assert isinstance(caught.value, ValueError)
        assert caught.value.file == os.path.join("run", "checkpoint")


def test_a_file_too_large_is_not_read_into_memory() -> None:
    with Path("run/checkpoint").open("wb") as stream:
        stream.truncate(MAX_STATE_BYTES + 1)
    with pytest.raises(
        CorruptError, match="too large for a state file: got 4194305 bytes, want at most 4194304"
    ):
        read_checkpoint_state("run")


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    write(FULL)

    def refuse(*_: object, **__: object) -> object:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("ckptfmt.storage.local_file.os.open", refuse)
        for function in (read_checkpoint_state, latest_checkpoint):
            with pytest.raises(NotReadableError, match="Permission denied"):
                function("run")


def test_a_file_deleted_in_the_meantime(monkeypatch: pytest.MonkeyPatch) -> None:
    write(FULL)

    def vanish(*_: object, **__: object) -> object:
        raise FileNotFoundError(2, "No such file or directory")

    with monkeypatch.context() as patch:
        patch.setattr("ckptfmt.storage.local_file.os.open", vanish)
        assert read_checkpoint_state("run") is None


# --- which checkpoint that is --------------------------------------------------------------------------


class TestLatest:
    @pytest.fixture(autouse=True)
    def checkpoints(self) -> None:
        for name in ("ckpt-2", "ckpt-3", "a[1]"):
            write_bundle(f"run/{name}")

    @pytest.mark.parametrize("directory", ["run", "run/", "./run", "run//"])
    def test_a_relative_path_is_joined_to_the_directory_as_given(self, directory: str) -> None:
        write(FULL)
        assert latest_checkpoint(directory) == os.path.join(directory, "ckpt-3")

    def test_path_objects_and_other_file_names(self) -> None:
        write(FULL, "mine")
        assert latest_checkpoint(Path("run")) is None
        assert latest_checkpoint(Path("run"), "mine") == os.path.join("run", "ckpt-3")
        assert latest_checkpoint("run", latest_filename="mine") == os.path.join("run", "ckpt-3")

    def test_an_absolute_path_is_taken_as_it_is(self, folder: Path) -> None:
        write_bundle(folder / "x")
        write(f"model_checkpoint_path: '{folder.as_posix()}/x'")
        assert latest_checkpoint("run") == f"{folder.as_posix()}/x"

    @pytest.mark.parametrize(
        "stored",
        [
            "/home/other/run/ckpt-2",
            "//server/share/ckpt-2",
            r"C:\\train\\ckpt-2",
            r"..\\run\\ckpt-2",
            "train/ckpt-2",
            "../../gone/ckpt-2",
        ],
    )
    def test_in_a_moved_directory_the_file_beside_it_is_found(self, stored: str) -> None:
        write(f'model_checkpoint_path: "{stored}"')
        assert latest_checkpoint("run") == os.path.join("run", "ckpt-2")

    def test_the_place_that_is_named_comes_before_the_one_beside_the_file(self, folder: Path) -> None:
        write_bundle(folder / "ckpt-2")
        write('model_checkpoint_path: "../ckpt-2"')
        assert latest_checkpoint("run") == os.path.join("run", "../ckpt-2")

    def test_glob_characters_are_literal(self) -> None:
        write('model_checkpoint_path: "a[1]"')
        assert latest_checkpoint("run") == os.path.join("run", "a[1]")
        for pattern in ("ckpt-*", "ckpt-?", "ckpt-[23]"):
            write(f'model_checkpoint_path: "{pattern}"')
            assert latest_checkpoint("run") is None

    def test_a_suffix_is_cut_off(self) -> None:
        write('model_checkpoint_path: "ckpt-2.index"')
        assert latest_checkpoint("run") == os.path.join("run", "ckpt-2")

    def test_v1_in_one_file_and_in_shards(self) -> None:
        Path("run/old").write_bytes(encode_v1())
        Path("run/new-00001-of-00002").write_bytes(encode_v1())
        for name in ("old", "new-?????-of-00002"):
            write(f'model_checkpoint_path: "{name}"')
            assert latest_checkpoint("run") == os.path.join("run", name)
        write('model_checkpoint_path: "new-?????-of-00003"')
        assert latest_checkpoint("run") is None

    def test_data_files_do_not_matter(self) -> None:
        Path("run/ckpt-3.data-00000-of-00001").unlink()
        write(FULL)
        assert latest_checkpoint("run") == os.path.join("run", "ckpt-3")

    def test_a_missing_checkpoint_is_none_and_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        write('model_checkpoint_path: "/old/ckpt-4"')
        with caplog.at_level(logging.WARNING, logger="ckptfmt"):
            assert latest_checkpoint("run") is None
        base = os.path.join("run", "")
        assert [record.getMessage() for record in caplog.records] == [
            f"{base}checkpoint: '/old/ckpt-4' does not exist: tried /old/ckpt-4, {base}ckpt-4"
        ]

    def test_very_long_paths_are_shortened_in_warnings(self, caplog: pytest.LogCaptureFixture) -> None:
        write(f'model_checkpoint_path: "{"x" * 100_000}/end"')
        with caplog.at_level(logging.WARNING, logger="ckptfmt"):
            assert latest_checkpoint("run") is None
        message = caplog.records[0].getMessage()
        assert len(message) < 2000
        assert "xxx … xxx" in message
        assert "/end" in message
        assert "(100006 characters)" in message

    def test_many_patterns_are_looked_for_in_one_listing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("run/new-00001-of-00002").write_bytes(encode_v1())
        state = read(
            'model_checkpoint_path: "ckpt-3"\n'
            + 'all_model_checkpoint_paths: "new-?????-of-00002"\n' * 50
            + 'all_model_checkpoint_paths: "old-?????-of-00002"\n' * 50
        )
        scandir, listed = os.scandir, []
        monkeypatch.setattr(os, "scandir", lambda path: (listed.append(path), scandir(path))[1])
        assert state.existing == (os.path.join("run", "new-?????-of-00002"),) * 50
        assert listed == ["run"]

    def test_a_directory_is_not_a_checkpoint(self) -> None:
        Path("run/sub").mkdir()
        for name in ("sub", ".", "..", "sub/"):
            write(f'model_checkpoint_path: "{name}"')
            assert latest_checkpoint("run") is None

    def test_the_state_file_itself_is_not_a_checkpoint(self) -> None:
        write('model_checkpoint_path: "checkpoint"')
        assert latest_checkpoint("run") is None
        write_bundle("run/checkpoint")
        assert latest_checkpoint("run") == os.path.join("run", "checkpoint")

    def test_without_a_state_file_checkpoints_do_not_matter(self) -> None:
        assert latest_checkpoint("run") is None
        assert latest_checkpoint("nowhere") is None

    def test_existing_are_those_not_deleted_oldest_first(self) -> None:
        state = read(
            'model_checkpoint_path: "ckpt-3"\nall_model_checkpoint_paths: "ckpt-1"\n'
            'all_model_checkpoint_paths: "/old/ckpt-2"\nall_model_checkpoint_paths: ""\n'
            'all_model_checkpoint_paths: "ckpt-3"\n'
        )
        assert state.existing == (os.path.join("run", "ckpt-2"), os.path.join("run", "ckpt-3"))
        assert state.latest == os.path.join("run", "ckpt-3")
        assert state.resolve("ckpt-1") is None
        assert state.resolve("") is None


def test_the_state_of_the_current_directory_and_of_an_empty_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("run")
    Path("checkpoint").write_text(FULL)
    write_bundle("ckpt-3")
    assert latest_checkpoint(".") == os.path.join(".", "ckpt-3")
    assert latest_checkpoint("") == "ckpt-3"


def test_a_state_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        read(FULL).directory = "x"  # type: ignore[misc]


# --- the checkpoint that it leads to -------------------------------------------------------------------


class TestStateFile:
    @pytest.fixture(autouse=True)
    def checkpoints(self) -> None:
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

    def test_an_absolute_path_that_exists_is_taken(self, folder: Path) -> None:
        write_bundle(folder / "elsewhere")
        write_state("run", f"model_checkpoint_path: '{(folder / 'elsewhere').as_posix()}'")
        assert find_checkpoint("run").prefix == (folder / "elsewhere").as_posix()

    def test_a_state_file_of_another_name(self) -> None:
        Path("run/my_latest").write_text('# by hand\nmodel_checkpoint_path: "ckpt-9"\n')
        assert find_checkpoint("run/my_latest") == v2(os.path.join("run", "ckpt-9"))

    def test_a_prefix_named_checkpoint_comes_before_the_state_file(self) -> None:
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

    def test_a_missing_latest_is_not_replaced_by_another(self) -> None:
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

    def test_a_very_long_path_is_shortened_in_messages(self) -> None:
        write_state("run", f'model_checkpoint_path: "{"x" * 100_000}"')
        error = not_found("run")
        assert len(str(error)) < 2000
        assert "(100002 characters) as the latest checkpoint, which is missing" in str(error)
        assert error.tried[1] == os.path.join("run", "x" * 100_000)

    def test_a_state_file_alone(self, folder: Path) -> None:
        Path("alone").mkdir()
        write_state("alone", 'model_checkpoint_path: "ckpt-1"')
        error = not_found("alone")
        assert str(error).endswith(
            "tried " + os.path.join("alone", "ckpt-1") + "; the directory has no other checkpoint"
        )

    def test_garbage_names_the_file_and_what_else_exists(self) -> None:
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

    def test_a_directory_named_checkpoint(self) -> None:
        Path("run/checkpoint").mkdir()
        write_bundle("run/checkpoint/x")
        assert find_checkpoint("run/checkpoint") == v2(os.path.join("run/checkpoint", "x"))
        assert "2 checkpoints" in str(not_found("run"))


# --- files that people write ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stored",
    [
        r"D:\work\m-0",
        r"D:\new\m-0",
        r"C:\Users\me\m-0",
        r"D:\xyz\m-0",
        r"D:\unet\m-0",
        r"D:\400\m-0",
        r"\\server\share\m-0",
        r"\\\\server\\share\\m-0",
        r"D:/runs/m-0",
        "m-0 ",
        "./m-0",
        "gs://bucket/run/m-0",
        "file:///elsewhere/m-0",
    ],
)
def test_the_checkpoint_beside_it_is_found(stored: str) -> None:
    write_bundle("run/m-0")
    write(f'model_checkpoint_path: "{stored}"\nall_model_checkpoint_paths: "{stored}"\n')
    assert os.path.normpath(find_checkpoint("run").prefix) == os.path.join("run", "m-0")
    latest = latest_checkpoint("run")
    assert os.path.normpath(latest or "") == os.path.join("run", "m-0")
    state = read_checkpoint_state("run")
    assert state is not None
    assert state.existing == (latest,)


@pytest.mark.parametrize("name", ["new-0", "best-0", "final-0", "t-0", "a-0", "run-0", "v-0"])
def test_a_backslash_before_a_name_is_not_lost(name: str) -> None:
    write_bundle(f"run/{name}")
    write(f'model_checkpoint_path: "D:\\work\\{name}"')
    assert latest_checkpoint("run") == os.path.join("run", name)


def test_a_remote_path_leads_from_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle("run/m-0")
    write('model_checkpoint_path: "gs://bucket/run/m-0"')
    monkeypatch.chdir("run")
    assert latest_checkpoint("") == "m-0"
    assert find_checkpoint("checkpoint") == v2("m-0")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("stored", ["m-0", "D:\\work\\m-0", "C:\\Users\\m-0"])
def test_byte_order_marks_are_understood(encoding: str, stored: str) -> None:
    write_bundle("run/m-0")
    write(f'model_checkpoint_path: "{stored}"  \r\n\r\n'.encode(encoding))
    assert latest_checkpoint("run") == os.path.join("run", "m-0")


@pytest.mark.parametrize("suffix", [".index", ".meta", ".data-00000-of-00001", ".data-?????-of-00001"])
@pytest.mark.parametrize("before", ["", "/old/machine/", "D:\\\\work\\\\"])
def test_a_file_of_the_checkpoint_stands_for_it(suffix: str, before: str) -> None:
    write_bundle("run/m-0")
    write(f'model_checkpoint_path: "{before}m-0{suffix}"')
    assert latest_checkpoint("run") == os.path.join("run", "m-0")
    assert find_checkpoint("run") == v2(os.path.join("run", "m-0"))


def test_a_v1_shard_stands_for_its_checkpoint() -> None:
    for shard in range(2):
        Path(f"run/m-{shard:05d}-of-00002").write_bytes(encode_v1())
    write('model_checkpoint_path: "m-00001-of-00002"')
    assert find_checkpoint("run").prefix == os.path.join("run", "m-?????-of-00002")
    assert find_checkpoint(latest_checkpoint("run") or "").prefix == os.path.join("run", "m-?????-of-00002")


@pytest.mark.parametrize("before", ["", "/old/machine/", "D:\\\\work\\\\"])
def test_a_pattern_stands_for_the_files_of_a_v1_checkpoint(before: str) -> None:
    for part in ("base", "lstm"):
        Path(f"run/lm-{part}").write_bytes(encode_v1())
    write(f'model_checkpoint_path: "{before}lm-*"')
    assert latest_checkpoint("run") == os.path.join("run", "lm-*")
    assert len(find_checkpoint("run").tables) == 2
    write_bundle("run/lm-2")
    assert latest_checkpoint("run") is None


def test_a_data_file_without_its_index_is_told() -> None:
    Path("run/m-0.data-00000-of-00001").write_bytes(b"x" * 100)
    write('model_checkpoint_path: "m-0.data-00000-of-00001"')
    assert "m-0.data-00000-of-00001 exists, but m-0.index does not" in str(not_found("run"))


def test_a_directory_is_listed_once_however_it_is_spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (listed.append(path), scandir(path))[1])
    Path("run/a").mkdir()
    spellings = [start * i for i in range(50) for start in ("./", "a/../", "a/.././/")]
    paths = "".join(f'all_model_checkpoint_paths: "{start}x-?????-of-?????"\n' for start in spellings)
    state = read('model_checkpoint_path: "x"\n' + paths)
    assert state.existing == ()
    assert len(listed) == 1
