"""The command line as its users run it: in this process, in one of its own, on a terminal."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner, Result

from ckptfmt.cli.app import app

COMMAND = [sys.executable, "-m", "ckptfmt"]

drawn_by_rich = pytest.mark.skipif(find_spec("rich") is None, reason="rich is not installed")


def run(*args: object) -> Result:
    """Run the command in this process; ``.stdout``, ``.stderr`` and ``.exit_code`` are what a user sees."""
    try:
        runner = CliRunner(mix_stderr=False)
    except TypeError:  # click 8.2 never mixes them
        runner = CliRunner()
    result = runner.invoke(app, [str(arg) for arg in args], prog_name="ckptfmt")
    assert "Traceback" not in result.stderr, result.stderr
    return result


def run_json(*args: object, code: int = 0) -> Any:
    """Run the command with ``--json`` and return its one document."""
    result = run(*args, "--json")
    assert result.exit_code == code, result.stderr

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(result.stdout, parse_constant=refuse)


def spawn(*args: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, off a terminal."""
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        env=environment(**env),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def environment(**env: str) -> dict[str, str]:
    """Return the environment of a subprocess, without variables that would change its output."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")
    }
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **env}


class _Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown_on_terminal(*args: object, columns: int = 100, styles: bool = False) -> tuple[int, str]:
    """Run the command in this process with stdout on a terminal; return its exit code and what it shows."""
    shown, messages = io.BytesIO(), io.StringIO()
    terminal = _Terminal(shown, "utf-8", newline="\n")
    env = {"COLUMNS": str(columns), "NO_COLOR": "" if styles else "1", "TERM": "xterm"}
    with (
        mock.patch.dict(os.environ, env),
        mock.patch.object(sys, "stdout", terminal),
        mock.patch.object(sys, "stderr", messages),
    ):
        code = app.main([str(arg) for arg in args], prog_name="ckptfmt", standalone_mode=False)
        terminal.flush()
    assert "Traceback" not in messages.getvalue(), messages.getvalue()
    return code, shown.getvalue().decode()


def on_terminal(*args: object, columns: int | None = None, **env: str) -> tuple[int, str]:
    """Run the command on a pseudo-terminal; return its exit code and everything that appeared there."""
    import fcntl
    import pty
    import termios

    pid, terminal = pty.fork()
    if pid == 0:
        if columns is not None:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execve(
            sys.executable,
            [*COMMAND, *map(str, args)],
            environment(**{"TERM": "xterm", "COLUMNS": "100", **env}),
        )
    shown = b""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), shown.decode().replace("\r\n", "\n")
