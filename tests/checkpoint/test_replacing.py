"""How a checkpoint gets its names: what may be at its prefix before, and who else may be at work there."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.checkpoint import prefix_claim
from ckptfmt.errors import (
    AlreadyExistsError,
    CkptfmtError,
    NotReadableError,
    NotWritableError,
    PathNotFoundError,
)
from ckptfmt.storage import temporary
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.storage.temporary import sweep
from tests.support.faults import Calls, exit_codes, in_fork, started
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.v1_files import v1_table

posix = pytest.mark.skipif(os.name == "nt", reason="links, modes, pipes and forks of POSIX")


@pytest.fixture(autouse=True)
def _at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    forget()


def forget() -> None:
    """Make the next save that of a new process, which removes what others left in the directory."""
    sweep.cache_clear()
    prefix_claim._clean_local.cache_clear()


def save(prefix: str, value: float = 1, **options: Any) -> None:
    ckptfmt.save(prefix, {"w": np.full(1000, value, np.float32), "b": np.float32(value)}, **options)


def value_of(prefix: str, **options: Any) -> float:
    """The one value of all elements of an intact checkpoint."""
    with ckptfmt.open(prefix, **options) as ckpt:
        assert ckpt.verify().ok
        values = {float(each) for name in ckpt for each in np.unique(ckpt[name])}
    assert len(values) == 1
    return values.pop()


def names(directory: str = ".") -> list[str]:
    return sorted(os.listdir(directory))


ONE = ["ckpt.data-00000-of-00001", "ckpt.index"]
TWO = ["ckpt.data-00000-of-00002", "ckpt.data-00001-of-00002", "ckpt.index"]

# --- what is at the prefix ----------------------------------------------------------------------------------


def test_a_replaced_checkpoint_has_as_many_data_files_as_its_index_promises() -> None:
    save("ckpt")
    assert names() == ONE
    save("ckpt", 2, overwrite=True)
    assert names() == TWO
    save("ckpt", 3, overwrite=True)
    assert names() == ONE
    save("ckpt", 4, overwrite=True, num_shards=3)
    assert len(names()) == 4
    save("ckpt", 5, overwrite=True, max_shard_bytes=10)
    assert names() == TWO
    assert value_of("ckpt") == 5


@pytest.mark.tensorflow
def test_tensorflow_restores_a_replaced_checkpoint(tensorflow: ModuleType) -> None:
    for value in range(4):
        save("ckpt", value, overwrite=True)
        reader = tensorflow.train.load_checkpoint("./ckpt")
        assert set(reader.get_tensor("w")) == {value}
        restored = tensorflow.raw_ops.RestoreV2(
            prefix="./ckpt", tensor_names=["b"], shape_and_slices=[""], dtypes=[tensorflow.float32]
        )
        assert float(restored[0]) == value


@pytest.mark.tensorflow
def test_tensorflow_replaces_a_replaced_checkpoint(tensorflow: ModuleType) -> None:
    save("ckpt", 1)
    save("ckpt", 2, overwrite=True)
    tensorflow.raw_ops.SaveV2(
        prefix="./ckpt", tensor_names=["w"], shape_and_slices=[""], tensors=[np.full(4, 3.0, np.float32)]
    )
    assert value_of("ckpt") == 3
    save("ckpt", 4, overwrite=True)
    assert value_of("ckpt") == 4


def test_stray_data_files_are_refused_or_left_alone() -> None:
    Path("ckpt.data-00000-of-00001").write_bytes(b"stray")
    with pytest.raises(AlreadyExistsError, match="00000-of-00001"):
        save("ckpt")
    assert names() == ["ckpt.data-00000-of-00001"]
    save("ckpt", overwrite=True)
    assert names() == sorted(["ckpt.data-00000-of-00001", *TWO])
    assert Path("ckpt.data-00000-of-00001").read_bytes() == b"stray"
    with ckptfmt.open("ckpt") as ckpt:
        report = ckpt.verify()
    assert report.ok
    assert [problem.kind for problem in report.problems] == ["stale"]


def test_a_damaged_index_may_be_replaced() -> None:
    save("ckpt")
    Path("ckpt.index").write_bytes(b"damaged")
    save("ckpt", 2, overwrite=True)
    assert value_of("ckpt") == 2
    # Nobody knows whether the old data file was the checkpoint's.
    assert names() == sorted(["ckpt.data-00000-of-00001", *TWO])


@posix
def test_an_index_that_cannot_be_read_is_not_replaced() -> None:
    Path("ckpt.index").mkdir()
    with pytest.raises(NotReadableError):
        save("ckpt", overwrite=True)
    with pytest.raises(AlreadyExistsError):
        save("ckpt")
    Path("ckpt.index").rmdir()
    os.mkfifo("ckpt.index")
    with pytest.raises(NotReadableError, match="not a regular file"):
        save("ckpt", overwrite=True)
    assert names() == ["ckpt.index"]


@posix
def test_a_link_is_replaced_and_not_what_it_leads_to() -> None:
    # As in the cache of downloads of the Hugging Face Hub: snapshots share blobs.
    save("blobs/x")
    for snapshot in ("s1", "s2"):
        os.mkdir(snapshot)
        for name in os.listdir("blobs"):
            os.symlink(f"../blobs/{name}", f"{snapshot}/{name.replace('x', 'ckpt', 1)}")
    save("s1/ckpt", 2, overwrite=True)
    assert value_of("s1/ckpt") == 2
    assert value_of("s2/ckpt") == value_of("blobs/x") == 1
    assert names("s1") == TWO
    assert not os.path.islink("s1/ckpt.index")
    # The index alone may be a link, to a checkpoint whose data files are elsewhere.
    os.symlink("s2/ckpt.index", "latest.index")
    save("latest", 3, overwrite=True)
    assert value_of("latest") == 3
    assert value_of("s2/ckpt") == 1


@posix
def test_links_that_lead_nowhere_are_in_the_way() -> None:
    os.symlink("missing", "ckpt.index")
    with pytest.raises(AlreadyExistsError):
        save("ckpt")
    os.symlink("missing", "ckpt.data-00000-of-00001")
    save("ckpt", overwrite=True)
    assert value_of("ckpt") == 1
    assert os.path.islink("ckpt.data-00000-of-00001")
    assert not os.path.exists("missing")


@posix
def test_a_checkpoint_that_only_its_owner_may_read_stays_one() -> None:
    save("ckpt")
    for name in names():
        os.chmod(name, 0o600)
    save("ckpt", 2, overwrite=True)
    assert {stat.S_IMODE(os.stat(name).st_mode) for name in names()} == {0o600}


def test_a_v1_checkpoint_is_not_hidden() -> None:
    Path("ckpt").write_bytes(v1_table())
    before = Path("ckpt").read_bytes()
    with pytest.raises(AlreadyExistsError):
        save("ckpt")
    assert names() == ["ckpt"]
    save("ckpt", overwrite=True)
    assert value_of("ckpt") == 1
    assert Path("ckpt").read_bytes() == before


def test_other_files_of_a_similar_name_are_not_in_the_way() -> None:
    others = ["ckpt", "ckpt.meta", "ckpt.data-00000-of-00001.bak", "ckpt.index.tempstate123", "xckpt.index"]
    for name in others:
        Path(name).write_bytes(b"other")
    os.mkdir("ckpt.data")
    save("ckpt")
    save("ckpt", 2, overwrite=True)
    assert value_of("ckpt") == 2
    assert names() == sorted([*others, "ckpt.data", *TWO])
    assert {Path(name).read_bytes() for name in others} == {b"other"}


@posix
def test_a_file_system_without_hard_links_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for value in (1, 2, 3):
        save("ckpt", value, overwrite=value > 1)
        assert value_of("ckpt") == value
    with pytest.raises(AlreadyExistsError):
        save("ckpt")
    assert names() == ONE


def test_a_directory_is_not_listed_for_each_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = []
    listdir, scandir = os.listdir, os.scandir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or listdir(path))
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    for number in range(10):
        save(f"ckpt-{number}")
    assert len(listed) <= 2


# --- prefixes -----------------------------------------------------------------------------------------------

PREFIXES = [
    "weights/",
    "./ckpt",
    "a//b",
    "new/directories/ckpt",
    "a b",
    "[1]*?",
    "x-?????-of-?????",
    "é\n\t",
    "-x",
    ".hidden",
    "x.index",
    "x.data-00000-of-00001",
    "x.tempstate0",
    "checkpoint",
]


@pytest.mark.skipif(os.name == "nt", reason="characters that Windows does not allow")
@pytest.mark.parametrize("prefix", [*PREFIXES, os.fsdecode(b"x\xff"), "x" * 235, "file:///tmp/../"])
def test_a_prefix_may_hold_any_characters(prefix: str, tmp_path: Path) -> None:
    if prefix.startswith("file:"):
        prefix = f"file://{tmp_path}/ckpt"
    save(prefix)
    with pytest.raises(AlreadyExistsError):
        save(prefix)
    for value in (2, 3):
        save(prefix, value, overwrite=True)
        assert value_of(prefix) == value
    paths = [os.path.join(directory, name) for directory, _, files in os.walk(".") for name in files]
    assert len(paths) == 2, paths


@posix
def test_a_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(NotWritableError, match="too long"):
        save("x" * 236)
    assert names() == []


@pytest.mark.parametrize("fs", [None, LocalFilesystem()])
def test_the_working_directory_may_change_meanwhile(fs: LocalFilesystem | None) -> None:
    save("here/ckpt")
    os.mkdir("elsewhere")
    with ckptfmt.CheckpointWriter("here/ckpt", overwrite=True, max_shard_bytes=100, fs=fs) as writer:
        writer.add("w", np.full(100, 2.0))
        os.chdir("elsewhere")
        writer.add("b", np.full(100, 2.0))
    assert names() == []
    assert len(names("../here")) == 3
    assert value_of("../here/ckpt") == 2


def test_a_directory_that_cannot_be_made_is_refused() -> None:
    Path("file").write_bytes(b"")
    for prefix in ("file/ckpt", "file/below/ckpt", "nul\0/ckpt", "nul\0"):
        with pytest.raises(NotWritableError):
            save(prefix)
    assert names() == ["file"]


@posix
@pytest.mark.skipif(hasattr(os, "getuid") and os.getuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_is_refused() -> None:
    save("d/ckpt")
    os.chmod("d", 0o500)
    with pytest.raises(NotWritableError, match="denied"):
        save("d/ckpt", 2, overwrite=True)
    os.chmod("d", 0o700)
    assert value_of("d/ckpt") == 1


def test_a_file_system_in_memory_is_written_in_the_same_way() -> None:
    fs = MemoryFilesystem()
    for value in (1, 2, 3):
        save("a/ckpt", value, overwrite=True, fs=fs)
        assert value_of("a/ckpt", fs=fs) == value
    assert sorted(fs.files) == ["a/ckpt.data-00000-of-00001", "a/ckpt.index"]
    with pytest.raises(AlreadyExistsError):
        save("a/ckpt", fs=fs)
    with ckptfmt.CheckpointWriter("a/ckpt", overwrite=True, fs=fs) as writer:
        writer.add("w", 1)
        with pytest.raises(NotWritableError):
            save("a/ckpt", overwrite=True, fs=fs)


# --- other writers ------------------------------------------------------------------------------------------


def test_of_many_threads_one_writes_a_prefix() -> None:
    start = threading.Barrier(8)
    done: list[int] = []

    def write(value: int) -> None:
        start.wait()
        with suppress(AlreadyExistsError, NotWritableError):
            save("ckpt", value)
            done.append(value)

    threads = [threading.Thread(target=write, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 1
    assert value_of("ckpt") == done[0]
    assert names() == ONE


@posix
@pytest.mark.parametrize("overwrite", [False, True])
def test_of_many_processes_one_at_a_time_writes_a_prefix(overwrite: bool) -> None:
    def write_and_read(value: int) -> None:
        for _ in range(10):
            with suppress(AlreadyExistsError, NotWritableError):
                save("ckpt", value, overwrite=overwrite)
            with suppress(PathNotFoundError, NotReadableError), ckptfmt.open("ckpt", verify=False) as ckpt:
                values = {float(each) for name in ckpt for each in ckpt[name].ravel()}
                assert len(values) == 1, values

    assert exit_codes([started(partial(write_and_read, value)) for value in range(4)]) == [0] * 4
    assert value_of("ckpt") in range(4)
    assert names() in (ONE, TWO)


@posix
def test_writers_of_other_prefixes_in_the_directory_do_not_meet() -> None:
    def write(value: int) -> None:
        for number in range(10):
            save(f"ckpt{value}-{number}", value)

    assert exit_codes([started(partial(write, value)) for value in range(4)]) == [0] * 4
    assert len(names()) == 80
    assert [value_of(f"ckpt{value}-9") for value in range(4)] == [0, 1, 2, 3]


def test_a_waiting_writer_does_not_delay_others() -> None:
    with ckptfmt.CheckpointWriter("other") as writer:
        writer.add("w", 1)
        start = time.perf_counter()
        for number in range(10):
            with ckptfmt.CheckpointWriter(f"ckpt-{number}", sync=False) as other:
                other.add("w", 1)
        assert time.perf_counter() - start < 1.5  # not 0.15 s more for each
    assert "other.index" in names()


@posix
def test_a_file_that_appears_meanwhile_is_not_replaced() -> None:
    """A writer that ignores claims, as TensorFlow's does."""
    writer = ckptfmt.CheckpointWriter("ckpt", num_shards=2)
    writer.add("w", 1)
    save("copy", 2)
    os.rename("copy.data-00000-of-00001", "ckpt.data-00000-of-00001")
    os.rename("copy.index", "ckpt.index")
    with pytest.raises(AlreadyExistsError, match=r"ckpt\.index"):
        writer.commit()
    assert names() == ONE
    assert value_of("ckpt") == 2


@posix
def test_data_that_appear_meanwhile_are_not_replaced() -> None:
    save("ckpt")
    writer = ckptfmt.CheckpointWriter("ckpt", overwrite=True, num_shards=2)
    writer.add("w", 2)
    Path("ckpt.data-00001-of-00002").write_bytes(b"another program's")
    with pytest.raises(AlreadyExistsError, match="00001-of-00002"):
        writer.commit()
    assert names() == ["ckpt.data-00000-of-00001", "ckpt.data-00001-of-00002", "ckpt.index"]
    assert Path("ckpt.data-00001-of-00002").read_bytes() == b"another program's"
    assert value_of("ckpt") == 1


@posix
def test_without_locks_the_claim_is_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(temporary, "flock", refuse)
    with ckptfmt.CheckpointWriter("ckpt") as writer:
        writer.add("w", 1.0)
        with pytest.raises(NotWritableError, match="another program is writing it, or was killed"):
            save("ckpt")
        save("other")
        assert "ckpt.tempstate0" in names()
    assert value_of("ckpt") == 1
    save("ckpt", 2, overwrite=True)
    # A killed writer cannot be told from one that runs.
    Path("ckpt.tempstate0").write_bytes(b"1 2\n")
    with pytest.raises(NotWritableError, match=r"ckpt\.tempstate0: .*remove this file"):
        save("ckpt", 3, overwrite=True)
    save("other", 2, overwrite=True)
    assert value_of("ckpt") == value_of("other") == 2


# --- forks --------------------------------------------------------------------------------------------------

FORK = """
import os, sys
import numpy as np
import ckptfmt

with ckptfmt.CheckpointWriter("ckpt") as writer:
    writer.add("small", np.ones(3, np.float32))
    process = os.fork()
    if not process:
        CHILD
    code = os.waitpid(process, 0)[1]
    writer.add("w", np.ones(1000, np.float32))
print(code)
"""


@posix
@pytest.mark.parametrize(
    ("child", "code"),
    [
        ("sys.exit(0)", 0),
        ("os._exit(0)", 0),
        ("raise KeyError('stop')", 1),
        ("del writer; import gc; gc.collect(); sys.exit(0)", 0),
        ("writer.discard(); sys.exit(0)", 0),
        ("writer.add('w', np.zeros(100_000)); writer.commit()", 1),
        ("ckptfmt.save('other', {'w': 1}); sys.exit(0)", 0),
    ],
)
def test_a_forked_process_changes_nothing(child: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK.replace("CHILD", child)],
        check=True,
        capture_output=True,
    )
    assert os.waitstatus_to_exitcode(int(done.stdout.split()[-1])) == code, done.stderr
    if code and "commit" in child:
        assert b"NotWritableError" in done.stderr
        assert b"fork" in done.stderr
    assert value_of("ckpt") == 1
    assert [name for name in names() if not name.startswith("other")] == ONE


@posix
def test_a_child_that_outlives_its_parent_does_not_hold_the_prefix() -> None:
    reads, writes = os.pipe()

    def parent() -> None:
        writer = ckptfmt.CheckpointWriter("ckpt")
        writer.add("w", 1)
        if not os.fork():
            os.close(writes)
            os.read(reads, 1)
            os._exit(0)
        os.kill(os.getpid(), 9)

    assert in_fork(parent) == -9
    save("ckpt")
    assert names() == ONE
    os.close(writes)
    os.close(reads)


# --- claims -------------------------------------------------------------------------------------------------


def test_a_claim_removes_nothing_that_the_index_names() -> None:
    save("ckpt")
    save("other", num_shards=2)
    for prefix in ("ckpt", "other"):
        Path(f"{prefix}.tempstate0").write_bytes(b"1 2 99999\n")
    Path("ckpt.data-00001-of-00002").write_bytes(b"left")
    Path("ckpt.data-000001-of-000002").write_bytes(b"another name")
    forget()
    save("third")
    assert value_of("ckpt") == value_of("other") == 1
    assert [name for name in names() if name.startswith("ckpt")] == [
        "ckpt.data-00000-of-00001",
        "ckpt.data-000001-of-000002",
        "ckpt.index",
    ]


@pytest.mark.parametrize(
    "content",
    [b"", b"1", b"1 2", b"\n", b"x", b"-1\n", b"1 2\n3\n", b"\xff" * 100_000, b"9" * 70_000, b"1 " * 50_000],
)
def test_a_claim_that_says_nothing_removes_nothing(content: bytes) -> None:
    stray = Path("ckpt.data-00001-of-00002")
    stray.write_bytes(b"stray")
    Path("ckpt.tempstate0").write_bytes(content)
    save("ckpt")
    assert names() == sorted([*ONE, stray.name])


def test_a_claim_that_no_writer_made_is_left_alone_by_others() -> None:
    Path("mine.tempstate0").write_bytes(b"a text")
    Path("left.tempstate0").write_bytes(b"")
    os.mkdir("directory.tempstate0")
    save("ckpt")
    assert names() == sorted([*ONE, "mine.tempstate0", "directory.tempstate0"])


@posix
@pytest.mark.parametrize("kind", ["link", "hard link", "broken link", "directory", "pipe"])
def test_a_claim_that_is_no_file_of_its_own_is_refused(kind: str) -> None:
    Path("precious").write_bytes(b"precious")
    claim = Path("ckpt.tempstate0")
    if kind == "link":
        claim.symlink_to("precious")
    elif kind == "broken link":
        claim.symlink_to("missing")
    elif kind == "hard link":
        claim.hardlink_to("precious")
    elif kind == "directory":
        claim.mkdir()
    else:
        os.mkfifo(claim)
    before = names()
    with pytest.raises(NotWritableError, match="tempstate0"):
        save("ckpt")
    save("other")
    assert Path("precious").read_bytes() == b"precious"
    assert [name for name in names() if not name.startswith("other")] == before


@posix
def test_old_data_that_cannot_be_removed_are_left_to_the_next_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    save("ckpt")
    unlink = os.unlink

    def refuse(path: str, **options: Any) -> None:
        if path.endswith("-of-00001"):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    save("ckpt", 2, overwrite=True)
    assert value_of("ckpt") == 2
    assert names() == sorted([*ONE[:1], *TWO, "ckpt.tempstate0"])
    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(AlreadyExistsError):
        save("ckpt")
    forget()
    save("other")
    assert [name for name in names() if name.startswith("ckpt")] == TWO


# --- readers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["mmap", "pread"])
@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("saves", [1, 2, 3])
@posix
def test_a_reader_gets_old_values_or_an_error(backend: str, verify: bool, saves: int) -> None:
    save("ckpt", num_shards=2)
    lazy = ckptfmt.open("ckpt", verify=verify, backend=backend)
    half = ckptfmt.open("ckpt", verify=verify, backend=backend)
    assert half["w"][0] == 1
    for value in range(saves):
        save("ckpt", value + 2, overwrite=True, num_shards=2)
    assert half["w"][0] == 1
    for ckpt, name in ((lazy, "w"), (lazy, "b"), (half, "b")):
        with pytest.raises(CkptfmtError, match="replaced or removed since it was opened: open it again"):
            ckpt[name]
    assert value_of("ckpt") == saves + 1
    lazy.close()
    half.close()


def test_a_checkpoint_that_is_touched_or_copied_back_is_still_read() -> None:
    save("ckpt")
    ckpt = ckptfmt.open("ckpt")
    os.utime("ckpt.index", (1, 1))
    shutil.copy("ckpt.index", "copy")
    os.replace("copy", "ckpt.index")
    assert ckpt["b"] == 1
    ckpt.close()


@posix
def test_a_checkpoint_can_be_written_over_its_own_source() -> None:
    save("ckpt", num_shards=2)
    for _ in range(3):
        with ckptfmt.open("ckpt") as ckpt:
            ckptfmt.save("ckpt", ckpt, overwrite=True)
        assert value_of("ckpt") == 1
        with ckptfmt.open("ckpt") as ckpt:
            assert set(ckpt) == {"w", "b"}
    assert not [name for name in names() if "tempstate" in name]


def test_leftovers_do_not_alarm() -> None:
    save("ckpt")
    for name in (
        "ckpt.tempstate0",
        f"ckpt.index.tempstate0{1:020d}",
        "other.data-00000-of-00001.tempstate99",
    ):
        Path(name).write_bytes(b"1 2\n")
    assert value_of(".") == value_of("ckpt") == 1
    with ckptfmt.open(".") as ckpt:
        assert not ckpt.verify().problems
    Path("ckpt.data-00000-of-00002").write_bytes(b"of a save that was killed")
    with ckptfmt.open(".") as ckpt:
        report = ckpt.verify()
        assert report.ok
        assert [problem.kind for problem in report.problems] == ["stale"]


# --- disks --------------------------------------------------------------------------------------------------


def calls_of_save(**options: Any) -> list[str]:
    """The changes that a save makes, in order, with the ends of the paths that they name."""
    done = []

    def note(name: str, real: Any, args: tuple[Any, ...]) -> Any:
        what = os.readlink(f"/proc/self/fd/{args[0]}") if isinstance(args[0], int) else args[-1]
        done.append(f"{name} {os.path.basename(str(what)).split('.tempstate00')[0].split('.tempstate01')[0]}")
        return real(*args)

    with Calls(1, note, after=True).counted(["fsync", "link", "replace", "unlink"]):
        save("ckpt", 2, **options)
    return done


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no /proc here")
def test_each_step_is_on_the_disk_before_the_next(tmp_path: Path) -> None:
    save("ckpt")
    done = calls_of_save(overwrite=True)
    renames = [each for each in done if not each.startswith("unlink") or "of-00001" in each]
    directory = f"fsync {tmp_path.name}"
    assert [each for each in renames if "index" in each or each == directory or "of-00001" in each][-4:] == [
        directory,
        "replace ckpt.index",
        directory,
        "unlink ckpt.data-00000-of-00001",
    ]
    first = done.index("link ckpt.data-00000-of-00002")
    assert {"fsync ckpt.index", "fsync ckpt.tempstate0", directory} & set(done[:first]) == {
        "fsync ckpt.index",
        "fsync ckpt.tempstate0",
    }


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no /proc here")
def test_without_sync_nothing_is_synced() -> None:
    with Calls(1, lambda name, real, args: pytest.fail(name), after=True).counted(["fsync"]):
        with ckptfmt.CheckpointWriter("ckpt", sync=False) as writer:
            writer.add("w", 1.0)
        with ckptfmt.CheckpointWriter("ckpt", sync=False, overwrite=True) as writer:
            writer.add("w", 2.0)
    assert value_of("ckpt") == 2


@posix
def test_files_that_outgrow_a_limit_lose_nothing() -> None:
    import resource

    save("ckpt")
    for limit in (0, 100, 2000, 3900, 4500):

        def write(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            with pytest.raises(NotWritableError, match="too large"):
                save("ckpt", 2, overwrite=True, num_shards=2)

        if limit < 4000:
            assert in_fork(write) == 0
    assert value_of("ckpt") == 1
    assert names() == ONE


@posix
def test_a_disk_that_is_full_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        save("disk/ckpt")
        for free in range(0, 60_000, 4096):
            filler = disk / "filler"
            used = shutil.disk_usage(disk)
            filler.write_bytes(bytes(max(0, used.free - free)))
            try:
                with suppress(NotWritableError):
                    ckptfmt.save("disk/ckpt", {"w": np.full(8000, 2, np.float32)}, overwrite=True)
                    assert value_of("disk/ckpt") == 2
                    save("disk/ckpt", overwrite=True)
            finally:
                filler.unlink()
            assert value_of("disk/ckpt") == 1
            assert len(names("disk")) in (2, 3)
            save("disk/ckpt", overwrite=True)
        assert free
    finally:
        subprocess.run(["umount", str(disk)], check=True)
