"""Files to write: whole or not at all, links and modes kept, special files written to and never replaced."""

from __future__ import annotations

import errno
import gc
import io
import json
import os
import random
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ckptfmt
from ckptfmt.errors import AlreadyExistsError, NotWritableError, TruncatedError
from ckptfmt.plans.plan import Plan
from ckptfmt.proto import messages
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.in_memory import MemoryFile
from ckptfmt.storage.local_file import DescriptorFile, MappedFile
from ckptfmt.storage.output import (
    GrowingFile,
    Output,
    OutputFile,
    OutputStream,
    make_directory,
    open_null,
    write_file,
)
from ckptfmt.storage.target import check_target

posix = pytest.mark.skipif(os.name == "nt", reason="links, modes and pipes of POSIX")
has_full_disk = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")


def names(directory: Path) -> list[str]:
    """The contents of the files in a directory, whatever their names."""
    return sorted(os.listdir(directory))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that may be replaced."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def write_and_stop(file: Output) -> None:
    """Write to a file, and be interrupted."""
    with file:
        file.write(b"new")
        raise KeyboardInterrupt


def run(script: str, *args: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a script in a process of its own."""
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.run(command, check=True, timeout=120, **options)


# --- whole or not at all ------------------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_appears_when_it_is_whole(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "new"
    with OutputFile(str(path), overwrite=overwrite) as file:
        assert file.name == str(path)
        file.write(b"a" * 100_000)
        file.write_all([bytearray(b"b"), memoryview(b"c")])
        file.flush()
        assert not path.exists()
        assert not file.is_closed
    assert path.read_bytes() == b"a" * 100_000 + b"bc"
    assert names(tmp_path) == ["new"]
    assert file.is_closed
    file.commit()
    file.discard()
    assert names(tmp_path) == ["new"]


def test_a_file_is_replaced_when_the_new_one_is_whole(path: Path) -> None:
    with OutputFile(str(path), overwrite=True) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["file"]


def test_readers_of_the_old_file_keep_it(path: Path) -> None:
    with path.open("rb") as old:
        write_file(str(path), [b"new"], overwrite=True)
        assert old.read() == b"old"


@pytest.mark.parametrize("existing", [False, True])
def test_an_exception_leaves_things_as_they_were(path: Path, existing: bool) -> None:
    if not existing:
        path.unlink()
    before = names(path.parent)
    file = OutputFile(str(path), overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        write_and_stop(file)
    assert names(path.parent) == before
    assert not existing or path.read_bytes() == b"old"
    with pytest.raises(ValueError, match=r"file: the writer is closed$"):
        file.write(b"more")
    with pytest.raises(ValueError, match="closed"):
        file.flush()


def test_an_error_of_the_pieces_leaves_things_as_they_were(path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"new"
        raise LookupError

    with pytest.raises(LookupError):
        write_file(str(path), pieces(), overwrite=True)
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["file"]


def test_a_writer_that_is_dropped_leaves_nothing(path: Path) -> None:
    file = OutputFile(str(path), overwrite=True)
    file.write(b"new")
    assert len(names(path.parent)) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del file
        gc.collect()
    assert names(path.parent) == ["file"]
    assert path.read_bytes() == b"old"


def test_a_writer_open_at_exit_leaves_nothing(path: Path) -> None:
    script = """
import sys
from ckptfmt.storage.output import OutputFile
file = OutputFile(sys.argv[1])
file.write(b"new")
"""
    run(script, path.with_name("new"))
    assert names(path.parent) == ["file"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_does_not_remove_what_its_parent_writes(path: Path) -> None:
    script = """
import os, sys
from ckptfmt.storage.output import OutputFile
file = OutputFile(sys.argv[1], overwrite=True)
file.write(b"new")
file.flush()
if not os.fork():
    sys.exit()
os.wait()
file.commit()
"""
    run(script, path)
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["file"]


# --- existing files -----------------------------------------------------------------------------------------

EXISTS = r"file: file exists; pass overwrite=True to replace it$"


def test_an_existing_file_is_refused_before_any_work(path: Path) -> None:
    for refuse in (
        lambda: OutputFile(str(path)),
        lambda: GrowingFile(str(path)),
        lambda: check_target(str(path), overwrite=False),
        lambda: write_file(str(path), [b"new"]),
    ):
        with pytest.raises(AlreadyExistsError, match=EXISTS) as caught:
            refuse()
        assert caught.value.file == str(path)
        assert isinstance(caught.value, FileExistsError)
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["file"]


def refuse_links(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def link(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)


@pytest.mark.parametrize("code", [None, errno.EPERM, errno.EOPNOTSUPP], ids=str)
@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_a_name_that_is_taken_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None, kind: str
) -> None:
    path = tmp_path / "file"
    file = OutputFile(str(path))
    file.write(b"new")
    if kind == "file":
        path.write_bytes(b"theirs")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    if code is not None:
        refuse_links(monkeypatch, code)
    with pytest.raises(AlreadyExistsError, match=EXISTS):
        file.commit()
    assert names(tmp_path) == ["file"]
    if kind == "file":
        assert path.read_bytes() == b"theirs"


@posix
def test_a_file_system_without_hard_links_suffices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_links(monkeypatch, errno.EPERM)
    write_file(str(tmp_path / "new"), [b"new"])
    assert (tmp_path / "new").read_bytes() == b"new"
    assert names(tmp_path) == ["new"]


@posix
def test_other_errors_of_hard_links_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_links(monkeypatch, errno.EIO)
    with pytest.raises(NotWritableError, match=r"new: Input/output error$"):
        write_file(str(tmp_path / "new"), [b"new"])
    assert names(tmp_path) == []


# --- links and modes ----------------------------------------------------------------------------------------


@posix
def test_a_link_is_written_through(path: Path, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    link = tmp_path / "below" / "link"
    link.symlink_to("chain")
    (tmp_path / "below" / "chain").symlink_to("../file")
    with pytest.raises(AlreadyExistsError, match=r"link: file exists"):
        write_file(str(link), [b"new"])
    write_file(str(link), [b"new"], overwrite=True)
    assert path.read_bytes() == b"new"
    assert link.readlink() == Path("chain")
    assert names(tmp_path / "below") == ["chain", "link"]
    assert names(tmp_path) == ["below", "file"]


@posix
def test_a_link_that_leads_nowhere_counts_as_a_file(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    for refuse in (
        lambda: OutputFile(str(link)),
        lambda: GrowingFile(str(link)),
        lambda: check_target(str(link), overwrite=False),
    ):
        with pytest.raises(AlreadyExistsError, match="link: file exists"):
            refuse()
    check_target(str(link), overwrite=True)
    write_file(str(link), [b"new"], overwrite=True)
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
    assert names(tmp_path) == ["link", "target"]


@posix
def test_a_log_is_written_through_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("file")
    with GrowingFile(str(link), append_at=2) as file:
        file.write(b"new")
    assert path.read_bytes() == b"olnew"
    link.unlink()
    link.symlink_to("other")
    with GrowingFile(str(link), append_at=0) as file:
        file.write(b"new")
    assert (tmp_path / "other").read_bytes() == b"new"
    assert link.is_symlink()


@posix
def test_a_link_in_a_circle_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("link")
    for refuse in (
        lambda: OutputFile(str(link), overwrite=True),
        lambda: GrowingFile(str(link)),
        lambda: check_target(str(link), overwrite=True),
    ):
        with pytest.raises(NotWritableError, match=r"link: Too many levels of symbolic links$"):
            refuse()
    assert names(tmp_path) == ["link"]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o444, 0o640, 0o777], ids=oct)
def test_a_replaced_file_keeps_its_mode_also_while_the_new_one_is_written(path: Path, mode: int) -> None:
    path.chmod(mode)
    with OutputFile(str(path), overwrite=True) as file:
        file.write(b"new")
        (beside,) = path.parent.glob(".*.tmp")
        assert stat.S_IMODE(beside.stat().st_mode) == mode
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"new"


@posix
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_new_file_has_the_mode_of_new_files(tmp_path: Path, overwrite: bool) -> None:
    before = os.umask(0o027)
    try:
        write_file(str(tmp_path / "a"), [b"x"], overwrite=overwrite)
        GrowingFile(str(tmp_path / "b")).commit()
    finally:
        os.umask(before)
    for name in "ab":
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640


@posix
def test_a_long_name_works(tmp_path: Path) -> None:
    name = "n" * 255
    write_file(str(tmp_path / name), [b"x"])
    write_file(str(tmp_path / name), [b"y"], overwrite=True)
    assert names(tmp_path) == [name]


# --- special files ------------------------------------------------------------------------------------------

WRITERS: dict[str, Callable[[str], Any]] = {
    "new": OutputFile,
    "overwrite": lambda path: OutputFile(path, overwrite=True),
    "log": GrowingFile,
    "append": lambda path: GrowingFile(path, append_at=7),
}

each_writer = pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)


@posix
@each_writer
def test_a_pipe_is_written_to(tmp_path: Path, writer: Callable[[str], Any]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        check_target(str(pipe), overwrite=False)
        with writer(str(pipe)) as file:
            file.write(b"content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


@posix
@each_writer
def test_a_device_is_written_to_also_through_a_link(tmp_path: Path, writer: Callable[[str], Any]) -> None:
    link = tmp_path / "link"
    link.symlink_to(os.devnull)
    for path in (os.devnull, str(link)):
        with writer(path) as file:
            file.write(b"content")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert link.is_symlink()
    assert names(tmp_path) == ["link"]


@posix
def test_a_device_of_ones_own_is_not_replaced(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.stat(os.devnull).st_rdev)
        device.write_bytes(b"")
    except OSError as error:
        pytest.skip(f"no devices can be made here: {error.strerror}")
    write_file(str(device), [b"content"], overwrite=True)
    assert stat.S_ISCHR(device.stat().st_mode)
    assert names(tmp_path) == ["null"]


TO_STDOUT = """
import sys
from ckptfmt.storage.output import write_file
print("before", flush=True)
write_file(sys.argv[1], [b"content\\n", b"x" * 100000 + b"\\n"])
print("after", flush=True)
"""

WHOLE = b"before\ncontent\n" + b"x" * 100_000 + b"\nafter\n"


@posix
@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("redirect", [">", ">>", "|"])
def test_standard_output_goes_where_the_shell_sends_it(tmp_path: Path, path: str, redirect: str) -> None:
    """Neither the contents of the file nor what the process wrote before are lost."""
    if not os.path.exists(path):
        pytest.skip(f"no {path} here")
    out = tmp_path / "out"
    out.write_bytes(b"old\n")
    command = [sys.executable, "-c", TO_STDOUT, path]
    if redirect == "|":
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=60)
        assert done.stdout == WHOLE
        return
    with out.open("wb" if redirect == ">" else "ab") as stdout:
        subprocess.run(command, check=True, stdout=stdout, timeout=60)
    assert out.read_bytes() == (WHOLE if redirect == ">" else b"old\n" + WHOLE)
    assert names(tmp_path) == ["out"]


@posix
@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("how", ["absolute", "relative", "of links", "in a linked directory"])
def test_a_link_to_standard_output_goes_where_the_shell_sends_it(tmp_path: Path, path: str, how: str) -> None:
    if not os.path.exists(path):
        pytest.skip(f"no {path} here")
    (tmp_path / "below").mkdir()
    link = tmp_path / "below" / "link"
    given = link
    if how == "absolute":
        link.symlink_to(path)
    elif how == "relative":
        link.symlink_to(os.path.relpath(path, link.parent))
    elif how == "of links":
        link.symlink_to("../other")
        (tmp_path / "other").symlink_to(path)
    else:
        link.symlink_to(os.path.dirname(path))
        given = link / os.path.basename(path)
    out = tmp_path / "out"
    with out.open("wb") as stdout:
        run(TO_STDOUT, given, stdout=stdout)
    assert out.read_bytes() == WHOLE
    assert link.is_symlink()
    assert set(names(tmp_path)) <= {"below", "other", "out"}


@posix
def test_standard_error_is_a_descriptor_too(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as log:
        run("from ckptfmt.storage.output import write_file; write_file('/dev/stderr', [b'x'])", stderr=log)
    assert (tmp_path / "log").read_bytes() == b"x"


@posix
def test_a_descriptor_that_is_not_open_is_refused() -> None:
    with pytest.raises(NotWritableError, match=r"^/dev/fd/987654: Bad file descriptor$"):
        OutputFile("/dev/fd/987654")


# --- what the system refuses --------------------------------------------------------------------------------


@has_full_disk
@each_writer
@pytest.mark.parametrize("size", [1, 1_000_000])
def test_a_full_disk_is_an_error(writer: Callable[[str], Any], size: int) -> None:
    """A small write fails when it is flushed, a large one at once."""
    file = writer("/dev/full")
    with pytest.raises(NotWritableError, match=r"^/dev/full: No space left on device$") as caught, file:
        file.write(bytes(size))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert caught.value.file == "/dev/full"
    assert file.is_closed
    assert file.has_failed


@has_full_disk
def test_after_an_error_nothing_more_is_written() -> None:
    file = OutputFile("/dev/full")
    with pytest.raises(NotWritableError) as first:
        file.write(bytes(100_000))
    for again in (lambda: file.write(b"x"), file.flush, file.commit):
        with pytest.raises(NotWritableError) as caught:
            again()
        assert caught.value is first.value
    assert file.is_closed


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_file_that_outgrows_the_disk_leaves_things_as_they_were(path: Path) -> None:
    script = """
import resource, sys
from ckptfmt.errors import NotWritableError
from ckptfmt.storage.output import write_file
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for path, size in ((sys.argv[1], 100_000), (sys.argv[1], 1001), (sys.argv[2], 1001)):
    try:
        write_file(path, [bytes(size)], overwrite=True)
    except NotWritableError as error:
        print(error.what)
"""
    done = run(script, path, path.with_name("new"), stdout=subprocess.PIPE)
    assert done.stdout.decode() == "File too large\n" * 3
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["file"]


@posix
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/file", "No such file or directory"),
        ("file/below", "Not a directory"),
        ("directory", "Is a directory"),
        ("directory/", "Is a directory"),
        ("missing/", "No such file or directory"),
        ("missing/.", "No such file or directory"),
        ("a\0b", "embedded null byte"),
        ("n" * 256, "File name too long"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_path_that_cannot_be_written_is_refused(
    path: Path, name: str, reason: str, overwrite: bool
) -> None:
    (path.parent / "directory").mkdir()
    before = names(path.parent)
    target = f"{path.parent}/{name}"
    for refuse in (
        lambda: write_file(target, [b"new"], overwrite=overwrite),
        lambda: GrowingFile(target, append_at=0 if overwrite else None),
    ):
        with pytest.raises(NotWritableError) as caught:
            refuse()
        assert (caught.value.what, caught.value.file) == (reason, target)
    if reason != "File name too long":
        with pytest.raises(NotWritableError) as caught:
            check_target(target, overwrite=overwrite)
        assert caught.value.what == reason
    assert names(path.parent) == before


def test_no_path_at_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotWritableError, match="No such file or directory"):
        write_file("", [b"new"], overwrite=True)
    assert names(tmp_path) == []
    assert not list(tmp_path.parent.glob(".*.tmp"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the system refuses root nothing")
def test_a_directory_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(NotWritableError, match=r"new: Permission denied$"):
            write_file(str(tmp_path / "new"), [b"x"])
    finally:
        tmp_path.chmod(0o700)


def test_an_error_names_the_file_as_it_is_called(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "file", tmp_path):
        with pytest.raises(NotWritableError) as caught:
            OutputFile(str(path), name="a name")
        assert caught.value.file == "a name"


def test_a_target_that_can_be_written_passes(path: Path) -> None:
    check_target(str(path), overwrite=True)
    check_target(str(path.with_name("new")), overwrite=False)
    assert names(path.parent) == ["file"]


def test_directories_are_made_with_those_above(path: Path) -> None:
    make_directory(str(path.parent / "a" / "b"))
    make_directory(str(path.parent / "a" / "b"))
    assert (path.parent / "a" / "b").is_dir()
    for bad in (f"{path}/below", f"{path.parent}/\0"):
        with pytest.raises(NotWritableError) as caught:
            make_directory(bad)
        assert caught.value.file == bad


@posix
def test_new_directories_are_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    monkeypatch.chdir(tmp_path)
    make_directory("a/b/c")
    make_directory("a/b/c")
    assert synced == [Path(each).stat().st_ino for each in (".", "a", "a/b")]


# --- what reaches the disk ----------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("overwrite", [False, True])
def test_content_is_synced_before_it_has_a_name_and_the_name_after_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    if not overwrite:
        path.unlink()
    done: list[object] = []
    fsync, link, replace = os.fsync, os.link, os.replace

    def note(what: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            done.append(what if what != "sync" else (os.fstat(args[0]).st_ino, os.fstat(args[0]).st_size))
            return real(*args)

        return call

    monkeypatch.setattr(os, "fsync", note("sync", fsync))
    monkeypatch.setattr(os, "link", note("named", link))
    monkeypatch.setattr(os, "replace", note("named", replace))
    write_file(str(path), [b"content"], overwrite=overwrite)
    content, named, directory = done
    assert content == (path.stat().st_ino, 7)
    assert named == "named"
    assert directory[0] == path.parent.stat().st_ino  # type: ignore[index]


@posix
@pytest.mark.parametrize("append_at", [None, 0])
def test_the_name_of_a_log_is_synced_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, append_at: int | None
) -> None:
    synced = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with GrowingFile(str(tmp_path / "log"), append_at=append_at) as file:
        file.write(b"x")
    assert synced == [(tmp_path / "log").stat().st_ino, tmp_path.stat().st_ino]


def test_a_file_that_cannot_be_synced_is_still_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    write_file(str(tmp_path / "new"), [b"x"])
    assert (tmp_path / "new").read_bytes() == b"x"


def test_a_sync_that_fails_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(NotWritableError, match=r"file: Input/output error$"):
        write_file(str(path), [b"new"], overwrite=True)
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["file"]
    log = GrowingFile(str(path), append_at=3)
    log.write(b"er")
    with pytest.raises(NotWritableError, match=r"file: Input/output error$"):
        log.commit()
    assert log.is_closed
    assert path.read_bytes() == b"older"


# --- killed -------------------------------------------------------------------------------------------------

KILLED = """
import json, os, random, signal, sys, time
from ckptfmt.storage.output import write_file

directory, overwrite, kills = sys.argv[1], sys.argv[2] == "True", int(sys.argv[3])
rng = random.Random(int(sys.argv[4]))


def write_forever(round, begun):
    number = 0
    while True:
        name = "file" if overwrite else f"file{round}.{number}"
        if number == 1:
            os.write(begun, b".")
        piece = b"%07d\\n" % number
        write_file(f"{directory}/{name}", [piece * 8192] * 8, overwrite=overwrite)
        number += 1


found, remains = [], 0
for round in range(kills):
    begun, signals = os.pipe()
    writer = os.fork()
    if not writer:
        write_forever(round, signals)
    os.close(signals)
    os.read(begun, 1)
    time.sleep(rng.random() * 0.01)
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    os.close(begun)
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        if name.endswith(".tmp"):
            remains += 1
        else:
            with open(path, "rb") as file:
                content = file.read()
            found.append([len(content), len(set(content.split()))])
        if name != "file":
            os.unlink(path)
print(json.dumps([found, remains]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_writer_that_is_killed_leaves_a_whole_file_or_none(tmp_path: Path, overwrite: bool) -> None:
    kills = 40
    seed = random.randrange(2**32)
    done = run(KILLED, tmp_path, overwrite, kills, seed, stdout=subprocess.PIPE)
    found, remains = json.loads(done.stdout)
    # Each line of a version holds its number: two of them would be a mixture of versions.
    assert found == [[8 * 8192 * 8, 1]] * len(found), f"seed {seed}"
    assert len(found) >= kills
    assert remains > kills // 10, "hardly any kill met a write that was under way"


# --- logs ---------------------------------------------------------------------------------------------------


def test_a_log_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with GrowingFile(str(path)) as file:
        file.write(b"one")
        file.flush()
        assert path.read_bytes() == b"one"
        file.write(b"two")
    assert path.read_bytes() == b"onetwo"
    file.commit()
    with pytest.raises(ValueError, match=r"log: the writer is closed$"):
        file.write(b"x")


def test_an_interrupted_log_keeps_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = GrowingFile(str(path))
    with pytest.raises(KeyboardInterrupt):
        write_and_stop(file)
    assert path.read_bytes() == b"new"
    assert file.is_closed


def test_a_log_is_cut_off_and_continued(path: Path) -> None:
    with GrowingFile(str(path), append_at=2) as file:
        assert path.read_bytes() == b"ol"
        file.write(b"new")
    assert path.read_bytes() == b"olnew"
    assert names(path.parent) == ["file"]


def test_a_log_that_cannot_be_cut_off_is_closed(path: Path) -> None:
    with pytest.raises(NotWritableError, match=r"file: Invalid argument$"):
        GrowingFile(str(path), append_at=-1)
    gc.collect()  # a descriptor left open would be a warning
    assert path.read_bytes() == b"old"


# --- streams ------------------------------------------------------------------------------------------------


def test_libraries_write_to_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "new"
    with OutputFile(str(path)) as file:
        stream = OutputStream(file)
        assert stream.writable()
        assert not stream.readable()
        assert stream.write(b"abc") == 3
        assert stream.write(memoryview(bytearray(8)).cast("d")) == 8
        assert stream.tell() == 11
        with io.BufferedWriter(stream) as buffered:
            buffered.write(b"def")
        assert not path.exists()
    assert path.read_bytes() == b"abc" + bytes(8) + b"def"


def test_a_stream_passes_errors_on(tmp_path: Path) -> None:
    file = OutputFile(str(tmp_path / "new"))
    stream = OutputStream(file)
    file.discard()
    with pytest.raises(ValueError, match="closed"):
        stream.write(b"x")


def test_the_null_device_swallows_bytes() -> None:
    descriptor = open_null()
    try:
        assert os.write(descriptor, b"x") == 1
    finally:
        os.close(descriptor)


# --- every writer of the package ----------------------------------------------------------------------------


def write_records(path: str, overwrite: bool) -> None:
    with ckptfmt.RecordWriter(path, overwrite=overwrite) as writer:
        writer.write(b"record")


def append_record(path: str, overwrite: bool) -> None:
    with ckptfmt.RecordWriter(path, append=True) as writer:
        writer.write(b"record")


def write_graph(path: str, overwrite: bool) -> None:
    graph = messages.GraphDef()
    graph.node.add(name="x", op="NoOp")
    ckptfmt.read_graph(graph.SerializeToString()).write(path, overwrite=overwrite)


PACKAGE_WRITERS: dict[str, Callable[[str, bool], None]] = {
    "bytes": lambda path, overwrite: write_file(path, [b"x"], overwrite=overwrite),
    "records": write_records,
    "a graph": write_graph,
    "a plan": lambda path, overwrite: Plan(()).write(path, overwrite=overwrite),
}


@posix
@pytest.mark.parametrize("write", PACKAGE_WRITERS.values(), ids=PACKAGE_WRITERS)
def test_every_writer_follows_the_same_rules(path: Path, write: Callable[[str, bool], None]) -> None:
    path.chmod(0o640)
    link, nowhere = path.with_name("link"), path.with_name("nowhere")
    link.symlink_to("file")
    nowhere.symlink_to("new")
    for target in (path, link, nowhere):
        with pytest.raises(AlreadyExistsError, match=f"{target.name}: file exists"):
            write(str(target), False)
    assert path.read_bytes() == b"old"
    write(str(link), True)
    content = path.read_bytes()
    assert content != b"old"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    write(str(nowhere), True)
    assert (path.parent / "new").read_bytes() == content
    write(str(path), True)
    assert link.is_symlink()
    assert nowhere.is_symlink()
    write(os.devnull, False)
    assert names(path.parent) == ["file", "link", "new", "nowhere"]


REFUSED_TARGETS = [
    ("missing/file", "No such file or directory"),
    ("file/below", "Not a directory"),
    (".", "Is a directory"),
    ("circle", "Too many levels of symbolic links"),
    ("a\0b", "embedded null byte"),
]


@posix
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "write", [*PACKAGE_WRITERS.values(), append_record], ids=[*PACKAGE_WRITERS, "more records"]
)
def test_every_writer_says_what_the_system_refuses(
    path: Path, write: Callable[[str, bool], None], overwrite: bool
) -> None:
    (path.parent / "circle").symlink_to("circle")
    for name, reason in REFUSED_TARGETS:
        target = f"{path.parent}/{name}"
        with pytest.raises(NotWritableError) as caught:
            write(target, overwrite)
        assert (caught.value.what, caught.value.file) == (reason, target)
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["circle", "file"]


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the system refuses root nothing")
@pytest.mark.parametrize(
    "write", [*PACKAGE_WRITERS.values(), append_record], ids=[*PACKAGE_WRITERS, "more records"]
)
def test_every_writer_says_that_a_directory_may_not_be_entered(
    tmp_path: Path, write: Callable[[str, bool], None]
) -> None:
    (tmp_path / "closed").mkdir(mode=0o600)
    with pytest.raises(NotWritableError, match=r"file: Permission denied$"):
        write(str(tmp_path / "closed" / "file"), True)


# --- copies of other files -------------------------------------------------------------------------------

MIB = bytes(range(256)) * 4096
"""1 MiB, which the kernel copies."""


def copied(target: Path, file: RandomAccessFile, offset: int, size: int) -> bytes:
    with OutputFile(str(target)) as output:
        output.write(b"before ")
        output.copy_from(file, offset, size)
        output.write(b" after")
    return target.read_bytes()


@pytest.mark.parametrize("kind", [MappedFile, DescriptorFile])
@pytest.mark.parametrize("broken", [(), ("copy_file_range",), ("copy_file_range", "sendfile")])
def test_bytes_of_another_file_are_copied(
    tmp_path: Path, kind: Any, broken: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_bytes(MIB)
    for name in broken:

        def refuse(*_: int) -> int:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(os, name, refuse, raising=False)
    file = kind(str(tmp_path / "source"))
    assert copied(tmp_path / "all", file, 0, len(MIB)) == b"before " + MIB + b" after"
    assert copied(tmp_path / "part", file, 77, 600_000) == b"before " + MIB[77:600_077] + b" after"
    assert copied(tmp_path / "little", file, 5, 10) == b"before " + MIB[5:15] + b" after"
    assert copied(tmp_path / "none", file, 5, 0) == b"before  after"


def test_a_copy_that_the_kernel_gives_up_halfway_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_bytes(MIB)
    real = os.sendfile
    calls: list[int] = []

    def some(target: int, source: int, offset: int, size: int) -> int:
        calls.append(size)
        if len(calls) > 3:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(target, source, offset, min(size, 100_000))

    monkeypatch.setattr(os, "copy_file_range", lambda *_: 0, raising=False)
    monkeypatch.setattr(os, "sendfile", some)
    assert copied(tmp_path / "target", MappedFile(str(tmp_path / "source")), 0, len(MIB))[7:-6] == MIB
    assert calls == [len(MIB) - 100_000 * i for i in range(4)]


def test_bytes_of_a_file_in_memory_are_copied(tmp_path: Path) -> None:
    assert copied(tmp_path / "target", MemoryFile(MIB), 0, len(MIB))[7:-6] == MIB


def test_a_file_that_was_replaced_is_copied_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(MIB)
    file = MappedFile(str(tmp_path / "source"))
    (tmp_path / "new").write_bytes(bytes(len(MIB)))
    os.replace(tmp_path / "new", tmp_path / "source")
    assert copied(tmp_path / "target", file, 0, len(MIB))[7:-6] == MIB


def test_a_source_that_was_cut_short_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(MIB)
    for kind in (MappedFile, DescriptorFile):
        file = kind(str(tmp_path / "source"))
        os.truncate(tmp_path / "source", 500_000)
        with pytest.raises(TruncatedError):
            copied(tmp_path / "target", file, 0, len(MIB))
        (tmp_path / "source").write_bytes(MIB)
    assert names(tmp_path) == ["source"]


@has_full_disk
def test_a_full_disk_is_an_error_of_the_target(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(MIB)
    with pytest.raises(NotWritableError, match=r"/dev/full.*[Nn]o space"), OutputFile("/dev/full") as output:
        output.copy_from(MappedFile(str(tmp_path / "source")), 0, len(MIB))
