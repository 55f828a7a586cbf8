"""File systems: what a path is, what a directory holds, and which file system an opener takes."""

from __future__ import annotations

import errno
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ckptfmt.errors import AlreadyExistsError, CorruptError, NotReadableError, PathNotFoundError
from ckptfmt.storage.filesystem import Filesystem, Listing, natural_order, read_small_file, walk
from ckptfmt.storage.local import LOCAL, LocalFilesystem, filesystem_of
from ckptfmt.storage.local_file import DescriptorFile, MappedFile
from tests.support.memory_filesystem import MemoryFilesystem

posix = pytest.mark.skipif(os.name == "nt", reason="links, pipes and names of POSIX")

FILES = {
    "ckpt-9.index": b"nine",
    "ckpt-10.index": b"ten",
    ".hidden": b"",
    "below/one": b"1",
    "below/deep/er/two": b"22",
}

Made: type = tuple[Filesystem, str]


@pytest.fixture(params=["local", "pread", "memory"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Each file system with FILES, and the directory that they are in."""
    if request.param == "memory":
        return MemoryFilesystem({f"/top/{name}": content for name, content in FILES.items()}), "/top"
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return LocalFilesystem("mmap" if request.param == "local" else "pread"), str(tmp_path)


# --- what every file system does ----------------------------------------------------------------------------


def test_a_path_is_a_file_a_directory_or_nothing(made: Made) -> None:
    fs, top = made
    assert fs.path_type(f"{top}/ckpt-9.index") == "file"
    assert fs.path_type(f"{top}/below/deep") == "directory"
    assert fs.path_type(f"{top}/below/deep/") == "directory"
    assert fs.path_type(f"{top}/ckpt-9") is None
    assert fs.path_type(f"{top}/ckpt-9.index/below") is None
    assert fs.path_type(f"{top}/a\0b") is None
    assert fs.path_type(f"{top}/{'n' * 5000}") is None


def test_a_directory_is_listed_in_natural_order(made: Made) -> None:
    fs, top = made
    assert fs.list_directory(top) == Listing([".hidden", "ckpt-9.index", "ckpt-10.index"], ["below"])
    assert fs.list_directory(f"{top}/below") == Listing(["one"], ["deep"])


def test_a_missing_directory_lists_as_empty(made: Made) -> None:
    fs, top = made
    for path in ("missing", "ckpt-9.index", "a\0b"):
        assert fs.list_directory(f"{top}/{path}") == Listing([], [])


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("ckpt-*", ["ckpt-9.index", "ckpt-10.index"]),
        ("ckpt-?.index", ["ckpt-9.index"]),
        ("*", ["ckpt-9.index", "ckpt-10.index"]),
        ("below/*", ["below/one"]),
        ("**/*o*", ["below/deep/er/two", "below/one"]),
        ("ckpt-9.index", ["ckpt-9.index"]),
        ("missing*", []),
        ("missing/**/*", []),
    ],
)
def test_a_glob_gives_files_in_natural_order(made: Made, pattern: str, names: list[str]) -> None:
    fs, top = made
    assert fs.glob(f"{top}/{pattern}") == [f"{top}/{name}" for name in names]


def test_a_file_is_opened_read_and_named_as_it_was_given(made: Made) -> None:
    fs, top = made
    for changing in (False, True):
        file = fs.open(f"{top}/ckpt-10.index", changing=changing)
        assert (file.name, file.size, bytes(file.read(0, 3))) == (f"{top}/ckpt-10.index", 3, b"ten")
        file.close()


def test_a_file_that_cannot_be_opened_is_an_error(made: Made) -> None:
    fs, top = made
    with pytest.raises(PathNotFoundError, match=r"no such file$") as missing:
        fs.open(f"{top}/missing")
    assert missing.value.file == f"{top}/missing"
    assert missing.value.tried == (f"{top}/missing",)
    with pytest.raises(NotReadableError, match=r"Is a directory$") as directory:
        fs.open(f"{top}/below")
    assert directory.value.file == f"{top}/below"


def test_a_status_tells_growth_from_another_file(made: Made) -> None:
    fs, top = made

    def write(content: bytes, mode: str) -> None:
        if isinstance(fs, MemoryFilesystem):
            before = fs.files[f"{top}/below/one"].content if mode == "ab" else b""
            fs.write(f"{top}/below/one", before + content)
        else:
            with open(f"{top}/below/one", mode) as file:
                file.write(content)

    first = fs.status(f"{top}/below/one")
    write(b"more", "ab")
    grown = fs.status(f"{top}/below/one")
    assert first is not None
    assert grown is not None
    assert (grown.identity, first.size, grown.size) == (first.identity, 1, 5)
    assert grown.changed >= first.changed
    other = fs.status(f"{top}/ckpt-9.index")
    assert other is not None
    assert other.identity != first.identity
    assert fs.status(f"{top}/missing") is None
    assert fs.status(f"{top}/a\0b") is None


def test_a_file_is_created_when_it_is_whole(made: Made) -> None:
    fs, top = made
    path = f"{top}/below/new"
    with fs.create(path) as file:
        assert file.name == path
        file.write_all([b"a", b"bc"])
        assert fs.path_type(path) is None
    with pytest.raises(AlreadyExistsError):
        fs.create(path)
    assert read_small_file(fs, path, limit=3, what="a file") == b"abc"
    with fs.create(path, overwrite=True) as file:
        file.write(b"d")
    assert read_small_file(fs, path, limit=3, what="a file") == b"d"


def test_a_walk_goes_through_all_directories_parents_first(made: Made) -> None:
    fs, top = made
    walked = list(walk(fs, top))
    assert [path for path, _ in walked] == [
        top,
        *(f"{top}/{n}" for n in ("below", "below/deep", "below/deep/er")),
    ]
    assert dict(walked)[f"{top}/below/deep/er"] == Listing(["two"], [])


def test_a_walk_of_nothing_is_one_empty_directory(made: Made) -> None:
    fs, top = made
    assert list(walk(fs, f"{top}/missing")) == [(f"{top}/missing", Listing([], []))]


def test_a_walk_takes_directories_in_natural_order() -> None:
    fs = MemoryFilesystem({f"run/{step}/f": b"" for step in ("10", "9", "9/a")})
    assert [path for path, _ in walk(fs, "run")] == ["run", "run/9", "run/9/a", "run/10"]


def test_a_walk_leaves_out_directories_that_cannot_be_listed_except_its_own() -> None:
    fs = MemoryFilesystem({f"run/{name}/f": b"" for name in ("a", "b", "b/c", "d")})
    fs.refused = {"run/b"}
    assert [(path, listing.files) for path, listing in walk(fs, "run")] == [
        ("run", []),
        ("run/a", ["f"]),
        ("run/b", []),
        ("run/d", ["f"]),
    ]
    with pytest.raises(NotReadableError, match=r"^run/b: Permission denied$"):
        list(walk(fs, "run/b"))


def test_a_small_file_is_read_whole(made: Made) -> None:
    fs, top = made
    assert read_small_file(fs, f"{top}/ckpt-9.index", limit=4, what="a plan") == b"nine"
    assert read_small_file(fs, f"{top}/.hidden", limit=4, what="a plan") == b""


def test_a_file_too_large_to_be_small_is_damage(made: Made) -> None:
    fs, top = made
    with pytest.raises(CorruptError, match=r"too large for a plan: got 4 bytes, want at most 3$") as caught:
        read_small_file(fs, f"{top}/ckpt-9.index", limit=3, what="a plan")
    assert caught.value.file == f"{top}/ckpt-9.index"
    with pytest.raises(PathNotFoundError):
        read_small_file(fs, f"{top}/missing", limit=3, what="a plan")
    with pytest.raises(NotReadableError):
        read_small_file(fs, f"{top}/below", limit=3, what="a plan")


def test_natural_order_puts_9_before_10() -> None:
    names = ["b", "a10", "a9", "a", "10", "9", "a9b10", "a9b9", ""]
    assert sorted(names, key=natural_order) == ["", "9", "10", "a", "a9", "a9b9", "a9b10", "a10", "b"]


# --- this machine's -----------------------------------------------------------------------------------------


def test_the_backend_says_how_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    assert isinstance(LOCAL.open(str(path)), MappedFile)
    assert isinstance(LOCAL.open(str(path), changing=True), DescriptorFile)
    assert isinstance(LocalFilesystem("pread").open(str(path)), DescriptorFile)


@pytest.fixture
def anchored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalFilesystem:
    """A file system anchored in a directory that is no longer the working directory."""
    (tmp_path / "top" / "below").mkdir(parents=True)
    (tmp_path / "top" / "file").write_bytes(b"content")
    (tmp_path / "top" / "below" / "file").write_bytes(b"below")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "top")
    fs = LOCAL.anchored()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return fs


def test_an_anchored_file_system_finds_relative_paths_from_anywhere(
    anchored: LocalFilesystem, tmp_path: Path
) -> None:
    assert anchored.directory == str(tmp_path / "top")
    assert anchored.anchored() is anchored
    assert anchored.path_type("file") == "file"
    assert anchored.path_type("") is None
    assert anchored.list_directory("") == anchored.list_directory(".") == Listing(["file"], ["below"])
    assert anchored.list_directory("below") == Listing(["file"], [])
    assert anchored.glob("**/f*") == ["below/file", "file"]
    assert anchored.glob(f"{tmp_path}/top/f*") == [f"{tmp_path}/top/file"]
    assert bytes(anchored.open("file").read(0, 7)) == b"content"
    assert anchored.open("file").name == "file"
    assert anchored.status("file") == LOCAL.status(str(tmp_path / "top" / "file"))
    with anchored.create("new") as file:
        file.write(b"x")
    assert file.name == "new"
    assert (tmp_path / "top" / "new").read_bytes() == b"x"
    assert [path for path, _ in walk(anchored, "below")] == ["below"]


def test_errors_name_relative_paths_as_they_were_given(anchored: LocalFilesystem) -> None:
    for fail in (
        lambda: anchored.open("missing"),
        lambda: anchored.open("below"),
        lambda: anchored.create("file"),
        lambda: anchored.create("missing/file"),
    ):
        with pytest.raises(OSError, match=r"^(missing|below|file|missing/file): "):
            fail()


def test_a_file_system_can_be_pickled(anchored: LocalFilesystem) -> None:
    for fs in (LOCAL, anchored, LocalFilesystem("pread", "/somewhere")):
        assert pickle.loads(pickle.dumps(fs)) == fs


@posix
def test_links_are_followed_and_their_targets_known(anchored: LocalFilesystem, tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "link").symlink_to("below/file")
    (top / "chain").symlink_to("link")
    (top / "directory").symlink_to("below")
    (top / "nowhere").symlink_to("missing")
    (top / "circle").symlink_to("circle")
    assert anchored.path_type("link") == "file"
    assert anchored.path_type("directory") == "directory"
    assert anchored.path_type("nowhere") is None
    assert anchored.link_target("chain") == str(top / "below" / "file")
    assert anchored.link_target("nowhere") == str(top / "missing")
    assert anchored.link_target("file") is None
    assert anchored.link_target("missing") is None
    assert anchored.list_directory("") == Listing(["chain", "file", "link"], ["below", "directory"])
    assert [path for path, _ in walk(anchored, "")] == ["", "below"]
    with pytest.raises(NotReadableError, match="circle: Too many levels of symbolic links"):
        anchored.path_type("circle")


@posix
def test_pipes_and_devices_are_neither_files_nor_directories(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert LOCAL.path_type(str(tmp_path / "pipe")) == "other"
    assert LOCAL.path_type(os.devnull) == "other"
    assert LOCAL.list_directory(str(tmp_path)) == Listing([], [])


@posix
def test_names_that_are_not_unicode_are_names(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff-2")
    try:
        (tmp_path / name).write_bytes(b"x")
    except OSError:
        pytest.skip("the file system takes only Unicode")
    assert LOCAL.list_directory(str(tmp_path)).files == [name]
    assert bytes(LOCAL.open(str(tmp_path / name)).read(0, 1)) == b"x"


Call = Callable[[LocalFilesystem, str], object]
CALLS: dict[str, Call] = {
    "stat": lambda fs, path: fs.path_type(path),
    "scandir": lambda fs, path: fs.list_directory(path),
    "open": lambda fs, path: fs.open(path),
}


@pytest.mark.parametrize("function", CALLS)
def test_a_refusal_of_the_system_is_not_readable(monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, function, refuse)
        with pytest.raises(NotReadableError, match=r"^directory: Permission denied$") as caught:
            CALLS[function](LOCAL, "directory")
    assert caught.value.file == "directory"
    assert isinstance(caught.value.__cause__, OSError)


def test_a_directory_that_may_not_be_listed_counts_as_empty_in_a_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "file").touch()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("a"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listings = dict(walk(LOCAL, str(tmp_path)))
    assert listings[str(tmp_path / "a")] == Listing([], [])
    assert listings[str(tmp_path / "b")] == Listing(["file"], [])


def test_a_walk_does_not_recurse(tmp_path: Path) -> None:
    depth = sys.getrecursionlimit()
    fs = MemoryFilesystem({"a/" * depth + "file": b""})
    assert sum(1 for _ in walk(fs, "a")) == depth


# --- which one an opener takes ------------------------------------------------------------------------------


def test_an_opener_reads_from_this_machine_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert filesystem_of() == LocalFilesystem("mmap", str(tmp_path))
    assert filesystem_of("pread") == LocalFilesystem("pread", str(tmp_path))
    fs = MemoryFilesystem()
    assert filesystem_of(fs=fs) is fs
    assert filesystem_of("mmap", LOCAL) is LOCAL


def test_a_backend_that_does_not_exist_is_refused() -> None:
    for make in (filesystem_of, LocalFilesystem):
        with pytest.raises(ValueError, match=r"^backend: got 'read', want 'mmap' or 'pread'$"):
            make("read")


def test_a_file_system_has_its_own_backend() -> None:
    with pytest.raises(ValueError, match=r"^backend: got 'pread' and a file system, want only one of them$"):
        filesystem_of("pread", MemoryFilesystem())
