"""What shells are told when the user presses Tab."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ckptfmt.cli.app import VERBS
from tests.support.command_line import COMMAND, environment, spawn
from tests.support.table_writer import write_bundle

DIGITS = "examples/digits"

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"


def completed(*words: str) -> list[str]:
    """Return what Bash is told that may stand for the last word; a path is ``file,`` and what was typed."""
    line = " ".join(["ckptfmt", *words])
    env = {"COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    result = spawn(_CKPTFMT_COMPLETE="bash_complete", **env)
    assert (result.returncode, result.stderr) == (0, "")
    return [line.removeprefix("plain,") for line in result.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_names_of_tensors(shell: str) -> None:
    words = {
        "COMP_WORDS": f"ckptfmt show {DIGITS} digits/co",
        "COMP_CWORD": "digits/co" if shell == "fish" else "3",
    }
    result = spawn(_CKPTFMT_COMPLETE=f"{shell}_complete", **words)
    found = {word for line in result.stdout.splitlines() for word in line.split(",") if "/" in word}
    assert found == {f"digits/{layer}/{kind}" for layer in ("conv1", "conv2") for kind in ("bias", "kernel")}


def test_names_are_completed_if_the_object_graph_is_damaged(tmp_path: Path) -> None:
    tensors = {"dense/kernel": np.zeros(3, np.float32)}
    prefix = write_bundle(tmp_path / "model-1", tensors, strings={"_CHECKPOINTABLE_OBJECT_GRAPH": b"\xff"})
    assert completed("show", prefix, "dense/") == ["dense/kernel"]


def test_a_shell_gets_nothing_where_no_checkpoint_is() -> None:
    words = {"COMP_WORDS": "ckptfmt show nowhere dig", "COMP_CWORD": "3"}
    result = spawn(_CKPTFMT_COMPLETE="bash_complete", **words)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_and_the_page_says_how_to_use_it(shell: str) -> None:
    result = spawn(_CKPTFMT_COMPLETE=f"{shell}_source")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"_CKPTFMT_COMPLETE={shell}_complete" in result.stdout
    assert f"_CKPTFMT_COMPLETE={shell}_source ckptfmt" in PAGE.read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_as_the_page_says(tmp_path: Path) -> None:
    command = tmp_path / "ckptfmt"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    page = PAGE.read_text(encoding="utf-8")
    line = re.search("`echo '(eval .*bash_source.*)' >>", page)
    assert line is not None
    script = f"""
        {line[1]}
        COMP_WORDS=(ckptfmt show {DIGITS} digits/conv1/) COMP_CWORD=3
        _ckptfmt_completion ckptfmt
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-c", script], env=environment(PATH=path), capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == ["digits/conv1/kernel", "digits/conv1/bias"]


def test_verbs_are_completed() -> None:
    assert completed("") == list(VERBS)
    assert completed("ver") == ["verify"]
    assert completed("help", "s") == ["show", "subgraph"]


def test_paths_are_left_to_the_shell() -> None:
    assert completed("exam") == ["file,exam"]
    for verb in VERBS.keys() - {"help", "plans"}:
        assert completed(verb, "exam") == ["file,exam"]
    assert completed("freeze", "-o", "fro") == ["file,fro"]
    assert completed("match", DIGITS, "exam") == ["file,exam"]
    assert completed("plan", DIGITS, "pl") == ["file,pl"]


def test_names_of_shipped_plans_are_completed() -> None:
    assert completed("plans", "keras-t") == ["keras-torch"]
    assert completed("plan", DIGITS, "keras-t") == ["keras-torch"]
    assert completed("copy", DIGITS, "out", "--plan", "keras-t") == ["keras-torch"]
    assert completed("copy", DIGITS, "out", "--plan", "pl") == ["file,pl"]


def test_patterns_of_ls_are_completed_with_names_and_paths() -> None:
    assert completed("ls", DIGITS, "digits/conv1/") == ["digits/conv1/kernel", "digits/conv1/bias"]
    assert completed("ls", DIGITS, "exam") == ["file,exam"]


def test_options_and_their_values_are_completed() -> None:
    assert completed("ls", DIGITS, "--help") == ["--help-json", "--help"]
    assert completed("ls", "--dtype", "bf") == ["bfloat16"]
    assert completed("ls", "--sort", "s") == ["size", "shape"]
    assert completed("ls", "--names", "") == ["stored", "full", "path"]
