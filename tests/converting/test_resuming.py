"""Conversions that go on where an earlier one stopped: what is taken over, and when they begin anew."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt import errors
from ckptfmt.checkpoint import raw_copy
from ckptfmt.converting.sinks import byte_stream
from ckptfmt.storage.output import partial

VALUES: dict[str, Any] = {
    "a": np.arange(1000, dtype=np.float64),
    "large": np.random.default_rng(0).random((5, 1 << 20), np.float32),  # pieces are of 4 MiB
    "z": np.arange(30, dtype=np.int8),
}


class StoppedError(Exception):
    """Ends a conversion in its midst."""


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "NOTED_EVERY", 1)
    monkeypatch.setattr(byte_stream, "BATCH", 4 << 20)
    monkeypatch.setattr(raw_copy, "BATCH", 4 << 20)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    ckptfmt.save(tmp_path / "model.ckpt", VALUES)
    return tmp_path / "model.ckpt"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new.safetensors"


def stop(source: object, target: Path, after: int, **options: Any) -> None:
    """Convert until so many bytes are written."""

    def stop_at(done: int, total: int) -> None:
        if done >= after:
            raise StoppedError

    with pytest.raises(StoppedError):
        ckptfmt.convert(source, target, resume=True, progress=stop_at, **options)  # type: ignore[arg-type]
    assert not target.exists()


def resume(source: object, target: Path, **options: Any) -> tuple[ckptfmt.Conversion, int]:
    """Convert on, and return the bytes that were taken over."""
    calls: list[int] = []
    conversion = ckptfmt.convert(
        source,  # type: ignore[arg-type]
        target,
        resume=True,
        progress=lambda done, total: calls.append(done),
        **options,
    )
    left = {each for each in os.listdir(target.parent) if "partial" in each}
    assert not left
    return conversion, calls[0]


@pytest.mark.parametrize("options", [{}, {"cast": "float32"}, {"max_shard_bytes": "8MB"}], ids=str)
def test_the_target_is_the_same_after_any_stop(source: Path, target: Path, options: dict[str, Any]) -> None:
    whole = ckptfmt.convert(source, target, **options)
    expected = {each: Path(each).read_bytes() for each in whole.files}
    total = whole.nbytes
    for after in (1, 9_000, 5 << 20, 13 << 20, total):
        for each in whole.files:
            Path(each).unlink()
        stop(source, target, after, **options)
        _, taken_over = resume(source, target, **options)
        if "max_shard_bytes" not in options:  # the first call is about the first file alone
            assert taken_over >= min(after, total) - (16 << 20 if options else 4 << 20)
        assert {each: Path(each).read_bytes() for each in whole.files} == expected


def test_it_goes_on_within_a_large_tensor(source: Path, target: Path) -> None:
    stop(source, target, 12 << 20)
    conversion, taken_over = resume(source, target, verify=True)
    assert conversion.remarks[0].startswith(f"{target}: resumed after ")
    assert 8_000 + (8 << 20) <= taken_over < VALUES["large"].nbytes


def test_nothing_is_left_of_a_conversion_without_resume(source: Path, target: Path) -> None:
    def fail(done: int, total: int) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        ckptfmt.convert(source, target, progress=fail)
    assert not [each for each in os.listdir(target.parent) if not each.startswith("model")]


def _other_values(source: Path) -> dict[str, Any]:
    ckptfmt.save(source, {**VALUES, "z": np.zeros(30, np.int8)}, overwrite=True)
    return {}


CHANGES = {
    "source": _other_values,
    "cast": lambda _: {"cast": "float16"},
    "exclude": lambda _: {"exclude": "z"},
    "plan": lambda _: {"plan": ckptfmt.Plan.parse("version = 1\n[[step]]\nrename = 'z'\nto = 'y'\n")},
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_inputs_begin_anew_and_say_so(source: Path, target: Path, name: str) -> None:
    stop(source, target, 12 << 20)
    options = CHANGES[name](source)
    conversion, taken_over = resume(source, target, verify=True, **options)
    assert taken_over < 5 << 20
    assert [each for each in conversion.remarks if not each.startswith("cast to ")] == [
        f"{target}: what is left is of another source, plan or target: started over"
    ]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"key": 1}\n', b"[1,2]\n", b"\xff\n", b'{"key":"x"}\n[[[[\n']
)
def test_a_journal_that_is_not_one_begins_anew(source: Path, target: Path, damage: bytes) -> None:
    ckptfmt.convert(source, target)
    expected = target.read_bytes()
    target.unlink()
    stop(source, target, 12 << 20)
    Path(f"{target}.partial.journal").write_bytes(damage)
    resume(source, target)
    assert target.read_bytes() == expected


@pytest.mark.parametrize("note", [None, 5, [1], [0, 1 << 40, 0], [9, 0, 0], [0, -1, 0], ["a", 0, 0]])
def test_notes_that_do_not_fit_are_an_error(source: Path, target: Path, note: object) -> None:
    stop(source, target, 12 << 20)
    journal = Path(f"{target}.partial.journal")
    lines = journal.read_text().splitlines()
    lines[-1] = json.dumps([json.loads(lines[-1])[0], note])
    journal.write_text("\n".join([*lines, ""]))
    with pytest.raises(errors.CorruptError, match="notes of an earlier conversion"):
        resume(source, target)


@pytest.mark.parametrize("size", [0, 5, 9000, 3 << 20])
def test_a_partial_file_that_lost_its_end_is_gone_on_with(source: Path, target: Path, size: int) -> None:
    ckptfmt.convert(source, target)
    expected = target.read_bytes()
    target.unlink()
    stop(source, target, 18 << 20)
    os.truncate(f"{target}.partial", size)
    resume(source, target)
    assert target.read_bytes() == expected


def test_a_target_made_meanwhile_is_kept(source: Path, target: Path) -> None:
    stop(source, target, 12 << 20)
    target.write_bytes(b"other")
    with pytest.raises(errors.AlreadyExistsError):
        resume(source, target)
    assert target.read_bytes() == b"other"
    resume(source, target, overwrite=True)


def test_two_programs_do_not_write_one_target(source: Path, target: Path) -> None:
    def convert_again(done: int, total: int) -> None:
        with pytest.raises(errors.NotWritableError, match="another program is writing it"):
            ckptfmt.convert(source, target, resume=True)

    ckptfmt.convert(source, target, resume=True, progress=convert_again)


def test_what_has_no_identity_is_written_from_its_beginning(target: Path) -> None:
    conversion = ckptfmt.convert(VALUES, target, resume=True)
    assert conversion.remarks == ("arrays in memory cannot be recognised later: nothing is kept",)


def test_a_view_that_has_no_identity_is_written_from_its_beginning(source: Path, target: Path) -> None:
    with ckptfmt.open(source) as ckpt:
        view = ckpt.cast("float64")
        conversion = ckptfmt.convert(view, target, resume=True)
    remark = f"this view of {source} cannot be recognised later: nothing is kept; "
    assert conversion.remarks == (remark + "convert the file itself, and have convert make the changes",)
    with ckptfmt.open_tensors(target) as file:
        again = ckptfmt.convert(file.select("*"), target.with_name("again.npz"), resume=True)
    assert again.remarks[0].startswith(f"this view of {target} cannot be recognised later")


def test_files_of_other_programs_are_recognised(source: Path, target: Path) -> None:
    ckptfmt.convert(source, target)
    again = target.with_name("again.safetensors")
    stop(target, again, 12 << 20)
    _, taken_over = resume(target, again)
    assert taken_over > 0
    assert ckptfmt.open_tensors(again)["z"].tolist() == VALUES["z"].tolist()


def test_a_link_is_written_through(source: Path, target: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target.symlink_to(tmp_path / "real" / "file.safetensors")
    stop_path = tmp_path / "real"
    with pytest.raises(StoppedError):
        ckptfmt.convert(source, target, resume=True, overwrite=True, progress=_stop)
    assert sorted(os.listdir(stop_path)) == ["file.safetensors.partial", "file.safetensors.partial.journal"]
    resume(source, target, overwrite=True)
    assert target.is_symlink()
    assert os.listdir(stop_path) == ["file.safetensors"]


def _stop(done: int, total: int) -> None:
    raise StoppedError
