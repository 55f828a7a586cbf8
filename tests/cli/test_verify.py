"""``ckptfmt verify`` as its users see it."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from ckptfmt.cli.render import progress
from ckptfmt.cli.verbs import verify
from tests.support import golden
from tests.support.command_line import drawn_by_rich, on_terminal, run, run_json, spawn
from tests.support.table_writer import write_bundle


@pytest.fixture
def model(tmp_path: Path) -> str:
    tensors = {name: np.arange(16, dtype=np.float32) for name in "abcd"}
    return write_bundle(tmp_path / "model", tensors, num_shards=2)


def spoil(path: str, at: int) -> None:
    content = bytearray(Path(path).read_bytes())
    content[at] ^= 0x10
    Path(path).write_bytes(content)


def test_an_intact_checkpoint_is_fine(model: str) -> None:
    result = run("verify", model)
    assert result.exit_code == 0
    assert result.stdout.startswith("OK: 4 of 4 tensors intact, ")
    assert result.stderr == ""


INTACT = [
    "dtypes",
    "strings",
    "variants",
    "sliced_dtypes",
    "sliced_shapes",
    "max_shard",
    "names",
    "many",
    "keras3",
    "saver",
    "v1_whole",
    "v1_sliced",
]


@pytest.mark.parametrize("case", INTACT)
def test_what_tensorflow_wrote_is_fine(case: str) -> None:
    result = run("verify", golden.load(case).path)
    assert (result.exit_code, result.stdout.splitlines()[-1].split(":")[0]) == (0, "OK")


def test_a_flipped_bit_is_an_error_that_says_where(model: str) -> None:
    spoil(f"{model}.data-00000-of-00002", 70)
    result = run("verify", model)
    assert result.exit_code == 3
    error, summary = result.stdout.splitlines()
    assert error.startswith("error: checksum: ")
    assert f"{model}.data-00000-of-00002 @0x40" in error
    assert "'c'" in error
    assert summary.startswith("FAILED (damaged): 3 of 4 tensors intact, ")
    assert summary.endswith(", 1 error")


def test_each_problem_is_one_line(model: str) -> None:
    for at in (0, 70):
        spoil(f"{model}.data-00000-of-00002", at)
    spoil(f"{model}.data-00001-of-00002", 0)
    result = run("verify", model)
    assert [line.split(":")[:2] for line in result.stdout.splitlines()[:-1]] == [["error", " checksum"]] * 3


def test_a_missing_shard_is_damage_on_one_line(model: str) -> None:
    Path(f"{model}.data-00001-of-00002").unlink()
    result = run("verify", model)
    assert result.exit_code == 3
    (error,) = result.stdout.splitlines()[:-1]
    assert error.startswith("error: missing: ")
    assert f"{model}.data-00001-of-00002" in error
    assert "FAILED (damaged): 2 of 4 tensors intact" in result.stdout


def refuse(path: str) -> None:
    """Make the operating system refuse a file, to the superuser too."""
    Path(path).unlink()
    Path(path).mkdir()


def test_a_file_that_the_system_refuses_is_unreadable_not_damaged(model: str) -> None:
    refuse(f"{model}.data-00001-of-00002")
    result = run("verify", model)
    assert result.exit_code == 4
    *errors, summary = result.stdout.splitlines()
    assert errors
    assert all(line.startswith("error: unreadable: ") for line in errors)
    assert all(f"{model}.data-00001-of-00002: " in line for line in errors)
    assert summary.startswith("FAILED (not readable): 2 of 4 tensors intact, ")
    report = run_json("verify", model, code=4)
    assert (report["ok"], {problem["kind"] for problem in report["problems"]}) == (False, {"unreadable"})


def test_a_file_that_the_system_refuses_does_not_hide_damage(model: str) -> None:
    refuse(f"{model}.data-00001-of-00002")
    spoil(f"{model}.data-00000-of-00002", 70)
    result = run("verify", model)
    assert result.exit_code == 3
    assert result.stdout.splitlines()[-1].startswith("FAILED (damaged): 1 of 4 tensors intact, ")


def test_warnings_besides_a_file_that_the_system_refuses_are_not_damage(model: str) -> None:
    refuse(f"{model}.data-00001-of-00002")
    path = Path(f"{model}.data-00000-of-00002")
    path.write_bytes(path.read_bytes() + b"left over")
    result = run("verify", model)
    assert result.exit_code == 4
    assert "warning: orphan: " in result.stdout


def test_the_help_says_when_the_exit_code_is_4() -> None:
    assert 'It is 4 if all errors are "unreadable"' in " ".join(run("help", "verify").stdout.split())


def test_a_short_shard_is_damage(model: str) -> None:
    path = Path(f"{model}.data-00001-of-00002")
    path.write_bytes(path.read_bytes()[:-1])
    result = run("verify", model)
    assert result.exit_code == 3
    assert result.stdout.startswith("error: truncated: ")


def test_bytes_that_belong_to_no_tensor_are_a_warning(model: str) -> None:
    path = Path(f"{model}.data-00001-of-00002")
    path.write_bytes(path.read_bytes() + b"left over")
    result = run("verify", model)
    assert result.exit_code == 1
    warning, summary = result.stdout.splitlines()
    assert warning.startswith("warning: orphan: ")
    assert summary.startswith("OK: 4 of 4 tensors intact")
    assert summary.endswith(", 1 warning")


@pytest.mark.parametrize("case", ["dtypes", "v1_whole", "sliced_dtypes", "v1_sliced", "strings", "variants"])
def test_finite_finds_what_numpy_finds_in_what_tensorflow_wrote(case: str) -> None:
    wanted = {}
    for tensor in golden.load(case).tensors.values():
        value = tensor.expected()
        # Those of ml_dtypes are of kind V, as are structured ones.
        if value.dtype.kind in "fcV" and value.dtype.names is None:
            with np.errstate(invalid="ignore"):
                wide = value.astype(np.complex128)
            nan = int(np.isnan(wide).sum())
            inf = int((~np.isfinite(wide)).sum()) - nan
            if nan or inf:
                wanted[tensor.name] = {*([f"{nan} NaN"] if nan else []), *([f"{inf} inf"] if inf else [])}
    result = run_json("verify", golden.load(case).path, "--finite", code=1 if wanted else 0)
    found = {
        each["name"]: set(re.findall(r"[0-9]+ (?:NaN|inf)", each["message"])) for each in result["problems"]
    }
    assert found == wanted


def test_finite_reads_slices_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    monkeypatch.setattr(verify, "count_special", lambda array: shapes.append(array.shape) or (0, 0))
    case = golden.load("sliced_shapes")
    assert run("verify", case.path, "--finite").exit_code == 0
    assert len(shapes) == sum(len(tensor.slices) or 1 for tensor in case.tensors.values())


def test_a_damaged_index_is_reported_with_finite_too(tmp_path: Path) -> None:
    model = shutil.copytree(golden.load("many").folder, tmp_path / "many")
    [index] = model.glob("*.index")
    spoil(str(index), index.stat().st_size // 2)
    plain, finite = run("verify", model), run("verify", model, "--finite")
    assert plain.exit_code == finite.exit_code == 3
    assert plain.stdout == finite.stdout
    assert plain.stdout.splitlines()[-1].startswith("FAILED (damaged): ")


def test_slices_that_leave_a_gap_are_damage_that_names_the_tensor() -> None:
    result = run("verify", golden.load("sliced_incomplete").path)
    assert result.exit_code == 3
    *problems, _ = result.stdout.splitlines()
    assert len(problems) == 3
    assert all("tensor '" in line for line in problems)


def test_json_has_these_keys(model: str) -> None:
    report = run_json("verify", model)
    assert list(report) == [
        *(
            "prefix",
            "format",
            "ok",
            "tensors",
            "tensors_checked",
            "parameters",
            "bytes_checked",
            "problems",
            "problems_omitted",
        )
    ]
    assert (report["ok"], report["tensors"], report["tensors_checked"], report["problems"]) == (
        True,
        4,
        4,
        [],
    )
    assert report["bytes_checked"] >= 256


def test_problems_in_json(model: str) -> None:
    spoil(f"{model}.data-00000-of-00002", 70)
    report = run_json("verify", model, code=3)
    assert report["ok"] is False
    (problem,) = report["problems"]
    assert list(problem) == ["severity", "kind", "message", "file", "offset", "name"]
    assert (problem["severity"], problem["kind"], problem["name"]) == ("error", "checksum", "c")
    assert (problem["file"], problem["offset"]) == (f"{model}.data-00000-of-00002", 64)


def test_names_in_problems_are_escaped(tmp_path: Path) -> None:
    model = write_bundle(tmp_path / "model", {"a\x1b[2Jb\n": np.zeros(4, np.float32)})
    spoil(f"{model}.data-00000-of-00001", 0)
    result = run("verify", model)
    assert result.exit_code == 3
    assert "\x1b" not in result.stdout
    assert len(result.stdout.splitlines()) == 2


def test_off_a_terminal_there_is_no_progress_bar(model: str) -> None:
    result = spawn("verify", model)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_fast_work_shows_no_progress_bar(model: str) -> None:
    code, shown = on_terminal("verify", model)
    assert code == 0
    assert shown.startswith("OK: 4 of 4")
    assert "\x1b" not in shown


@drawn_by_rich
def test_on_a_terminal_slow_work_shows_a_bar_on_stderr(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "DELAY", 0)
    monkeypatch.setattr(progress, "INTERVAL", 0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress.ProgressBar("verifying") as bar:
        bar(1 << 20, 4 << 20)
        bar(2 << 20, 4 << 20)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "verifying" in shown.err
    assert "4.0 MiB" in shown.err
