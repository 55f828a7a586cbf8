"""What the command line says and returns when something is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ckptfmt
from ckptfmt.cli.render.text import escape, one_line, size_text
from tests.support import golden
from tests.support.command_line import COMMAND, environment, run, run_json, shown_on_terminal, spawn
from tests.support.table_writer import write_bundle

VERBS = [["ls"], ["show", "w"], ["verify"]]


@pytest.fixture
def model(tmp_path: Path) -> str:
    return write_bundle(tmp_path / "model", {"w": np.arange(16, dtype=np.float32)})


def call(verb: list[str], path: object) -> list[str]:
    return [verb[0], str(path), *verb[1:]]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_a_path_without_a_checkpoint_is_not_found(verb: list[str], tmp_path: Path) -> None:
    result = run(*call(verb, tmp_path / "nothing"))
    assert (result.exit_code, result.stdout) == (4, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("ckptfmt: ")
    assert str(tmp_path / "nothing") in line


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_a_damaged_index_is_reported_as_damage(verb: list[str], model: str) -> None:
    path = Path(f"{model}.index")
    content = bytearray(path.read_bytes())
    content[3] ^= 0xFF
    path.write_bytes(content)
    result = run(*call(verb, model))
    assert result.exit_code == 3
    said = result.stdout + result.stderr
    assert f"{model}.index @0x" in said
    assert "stored 0x" in said


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_a_file_of_another_kind_is_refused(verb: list[str], tmp_path: Path) -> None:
    (tmp_path / "weights.npy").write_bytes(b"\x93NUMPY" + bytes(100))
    result = run(*call(verb, tmp_path / "weights.npy"))
    assert (result.exit_code, result.stdout) == (3, "")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_file_without_read_permission_is_not_readable(model: str) -> None:
    Path(f"{model}.index").chmod(0)
    result = run("ls", model)
    assert result.exit_code == 4
    assert "Permission denied" in result.stderr


def test_with_json_an_error_is_a_document_and_a_line(tmp_path: Path) -> None:
    result = run("ls", tmp_path / "nothing", "--json")
    assert len(result.stderr.splitlines()) == 1
    error = run_json("ls", tmp_path / "nothing", code=4)["error"]
    assert list(error)[:4] == ["type", "message", "file", "offset"]
    assert error["type"] == "CheckpointNotFoundError"
    assert error["tried"]
    assert f"ckptfmt: {error['message']}\n" == result.stderr


def test_with_json_a_wrong_name_comes_with_close_matches(model: str) -> None:
    error = run_json("show", golden.load("keras3").path, "save_conter", code=4)["error"]
    assert (error["type"], error["name"]) == ("TensorNotFoundError", "save_conter")
    assert error["close_matches"] == ["save_counter/.ATTRIBUTES/VARIABLE_VALUE"]


@pytest.mark.parametrize(
    "args",
    [["list", "x"], ["ls"], ["ls", "x", "--sort", "colour"], ["show", "x"], ["tree", "x", "y"]],
    ids=str,
)
def test_wrong_usage(args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert "Usage: ckptfmt" in result.stderr


def test_control_characters_in_a_path_are_escaped(tmp_path: Path) -> None:
    result = run("ls", tmp_path / "a\x1b[31m\nb")
    assert result.exit_code == 4
    assert len(result.stderr.splitlines()) == 1
    assert "\x1b" not in result.stderr


def test_a_failure_of_the_operating_system_is_one_line(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error", "/mnt/model.index")

    monkeypatch.setattr(ckptfmt, "open", fail)
    result = run("ls", model)
    assert (result.exit_code, result.stderr) == (4, "ckptfmt: /mnt/model.index: Input/output error\n")
    assert run_json("ls", model, code=4)["error"]["file"] == "/mnt/model.index"


def test_too_little_memory_is_one_line(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ckptfmt, "open", fail)
    result = run("ls", model)
    assert (result.exit_code, result.stderr) == (4, "ckptfmt: MemoryError\n")


def test_a_bug_has_an_exit_code_of_its_own(model: str) -> None:
    program = "import sys, ckptfmt\nfrom ckptfmt.__main__ import main\nckptfmt.open = None\nmain()"
    result = subprocess.run(
        [sys.executable, "-c", program, "ls", model],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 70
    assert "Traceback" in result.stderr


# --- processes ---------------------------------------------------------------------------------------------


def test_exit_codes_are_those_of_the_process(model: str, tmp_path: Path) -> None:
    assert spawn("verify", model).returncode == 0
    assert spawn("ls", tmp_path / "nothing").returncode == 4
    assert spawn("ls", model, "--nope").returncode == 2
    Path(f"{model}.data-00000-of-00001").write_bytes(bytes(64))
    assert spawn("verify", model).returncode == 3
    Path(f"{model}.data-00000-of-00001").write_bytes(np.arange(16, dtype=np.float32).tobytes() + b"x")
    assert spawn("verify", model).returncode == 1


def test_data_and_messages_go_to_different_streams(model: str) -> None:
    result = spawn("ls", model)
    assert result.stdout == "w\tfloat32\t[16]\t64\n"
    assert result.stderr == "1 tensor, 16 parameters, 64 B, 1 shard\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_line(model: str) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*COMMAND, "verify", model],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
            check=False,
        )
    assert (result.returncode, result.stderr) == (4, "ckptfmt: No space left on device\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_is_quiet(model: str) -> None:
    program = (
        "import signal, sys, time, ckptfmt\nfrom ckptfmt.__main__ import main\n"
        # A process started in the background of a shell ignores Ctrl-C by default.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def wait(*args, **kwargs):\n    print('waiting', flush=True)\n    time.sleep(60)\n"
        "ckptfmt.open = wait\nmain()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "ls", model],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


def run_without_click(*args: str) -> tuple[int, str, str]:
    program = "import sys\nsys.modules['click'] = None\nfrom ckptfmt.__main__ import main\nmain()"
    command = [sys.executable, "-c", program, *args]
    result = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize("args", [(), ("ls", "training/"), ("ls", "--help")])
def test_without_click_one_line_says_what_to_install(args: tuple[str, ...]) -> None:
    line = "ckptfmt: the command line needs click: pip install click\n"
    assert run_without_click(*args) == (2, "", line)


def test_without_click_the_version_and_the_help_are_still_shown() -> None:
    for flag in ("-V", "--version"):
        assert run_without_click(flag) == (0, f"ckptfmt {ckptfmt.__version__}\n", "")
    for flag in ("-h", "--help", "help"):
        code, shown, messages = run_without_click(flag)
        assert (code, messages) == (0, "")
        assert shown.startswith("Usage: ckptfmt ")
        assert "pip install click\n" in shown


def test_without_rich_tables_and_trees_are_drawn(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    for verb in ("ls", "tree"):
        code, shown = shown_on_terminal(verb, model)
        assert code == 0
        assert "float32" in shown


# --- the version -------------------------------------------------------------------------------------------


def test_the_version_is_the_version_of_the_package() -> None:
    assert run("--version").stdout == f"ckptfmt {ckptfmt.__version__}\n"


# --- text --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain/ä/日本/😀", "plain/ä/日本/😀"),
        ("a\tb\nc\rd\x00e\x7f", r"a\tb\nc\rd\x00e\x7f"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x85\u2028\xa0", r"\u0085\u2028\u00a0"),
        ("\u202eabc\u2066\u200b\ufeff", r"\u202eabc\u2066\u200b\ufeff"),
        ("\udcff\udc80", r"\xff\x80"),
        ("\ud800", r"\ud800"),
        ("\U000e0001", r"\U000e0001"),
        ("back\\slash\\x1b", r"back\\slash\\x1b"),
    ],
)
def test_characters_that_do_not_print_as_themselves_are_escaped(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_messages_keep_their_backslashes() -> None:
    assert one_line("C:\\x: bad\nline \x1b") == r"C:\x: bad\nline \x1b"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 19, "1.5 MiB"), (1 << 80, "1048576.0 EiB")],
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert size_text(size) == text
