"""A directory of checkpoints that a copy, a download or a crash has damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import ckptfmt
from tests.support.journeys import Journey

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"


def missing_shard(folder: Path) -> None:
    (folder / "ckpt-10.data-00000-of-00001").unlink()


def truncated_index(folder: Path) -> None:
    index = folder / "ckpt-10.index"
    index.write_bytes(index.read_bytes()[:-100])


def truncated_data(folder: Path) -> None:
    data = folder / "ckpt-10.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1000])


def pointers(folder: Path) -> None:
    for path in folder.glob("ckpt-10.*"):
        path.write_text(POINTER.format("0" * 64, path.stat().st_size))


def pointer_for_data(folder: Path) -> None:
    path = folder / "ckpt-10.data-00000-of-00001"
    path.write_text(POINTER.format("0" * 64, path.stat().st_size))


def converted_line_ends(folder: Path) -> None:
    for path in folder.glob("ckpt-10.*"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def web_page(folder: Path) -> None:
    """A host has answered the download with a page that says no."""
    (folder / "ckpt-10.index").write_text("<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n")


def empty_data(folder: Path) -> None:
    (folder / "ckpt-10.data-00000-of-00001").write_bytes(b"")


def mixed_up(folder: Path) -> None:
    """The data of another checkpoint, as large as its own."""
    shutil.copy(folder / "ckpt-9.data-00000-of-00001", folder / "ckpt-10.data-00000-of-00001")


def flipped_bit(folder: Path) -> None:
    data = folder / "ckpt-10.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)


def leftovers(folder: Path) -> None:
    for name in ("ckpt-11.index.tempstate123", "ckpt-11.data-00000-of-00001.tempstate123"):
        (folder / name).write_bytes(b"unfinished")
    (folder / "ckpt-10.data-00001-of-00002").write_bytes(b"of another checkpoint")


DAMAGE: list[tuple[Callable[[Path], None], int, str]] = [
    (missing_shard, 3, "ckpt-10.data-00000-of-00001"),
    (truncated_index, 3, "ckpt-10.index"),
    (truncated_data, 3, "too short"),
    (pointers, 3, "Git LFS"),
    (pointer_for_data, 3, "Git LFS"),
    (converted_line_ends, 3, "changed as text"),
    (web_page, 3, "HTML"),
    (empty_data, 3, "too short"),
    (mixed_up, 3, "checksum"),
    (flipped_bit, 3, "checksum"),
    (leftovers, 1, "ckpt-10.data-00001-of-00002"),
]


@pytest.fixture(params=DAMAGE, ids=lambda each: each[0].__name__)
def damaged(request: pytest.FixtureRequest, journey: Journey) -> tuple[int, str]:
    """A directory ``models``; what ``verify`` exits with, and a part of what it says."""
    damage, code, words = request.param
    damage(journey.bring("examples/digits", "models"))
    return code, words


def test_verify_says_what_is_wrong(journey: Journey, damaged: tuple[int, str]) -> None:
    code, words = damaged
    result = journey.shell("ckptfmt verify models", code=code)
    assert words in result.output
    assert journey.commands == 1


def test_verify_of_all_says_which_are_good(journey: Journey, damaged: tuple[int, str]) -> None:
    code, words = damaged
    result = journey.shell("ckptfmt verify --all models", code=code)
    assert words in result.output
    assert "models/ckpt-9: OK" in result.stdout
    found = json.loads(journey.shell("ckptfmt verify --all --json models", code=code).stdout)
    assert [each["ok"] for each in found["checkpoints"]] == [True, code == 1]


def test_the_path_alone_says_it_too(journey: Journey, damaged: tuple[int, str]) -> None:
    code, words = damaged
    result = journey.shell("ckptfmt models", code=None)
    # What needs the bytes of all tensors, or the other files, is for verify to find.
    assert words in result.output or words == "checksum" or code == 1
    assert journey.commands == 1


@pytest.mark.usefixtures("damaged")
def test_the_others_are_listed(journey: Journey) -> None:
    found = json.loads(journey.shell("ckptfmt ls --all --json models", code=None).stdout)["checkpoints"]
    assert next(each["prefix"] for each in found if "error" not in each) == "models/ckpt-9"
    assert found[0]["totals"]["tensors"] == 31
    assert journey.commands == 1


def test_python_says_it_in_one_sentence(journey: Journey, damaged: tuple[int, str]) -> None:
    code, words = damaged
    try:
        report = journey.python("import ckptfmt\nreport = ckptfmt.open('models').verify()")["report"]
    except ckptfmt.errors.CkptfmtError as error:
        messages = [str(error)]
    else:
        messages = [problem.message for problem in report.problems]
        assert report.ok == (code == 1)
    assert any(words in message for message in messages)
    assert not any("\n" in message for message in messages)


def test_a_copy_of_the_good_one_still_opens(journey: Journey) -> None:
    missing_shard(journey.bring("examples/digits", "models"))
    journey.python("import ckptfmt\nweights = ckptfmt.open('models/ckpt-9').weights.read()")
    assert len(journey.names["weights"]) == 10
