"""Graphviz: the program ``dot``, which draws diagrams, if it is installed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

import click

TIMEOUT = 60.0
"""Seconds that the program may take. The time grows faster than the number of edges."""


def draw_svg(lines: Iterable[str]) -> str:
    """Return the SVG that Graphviz makes of the lines of a DOT file."""
    text = "\n".join(lines).encode("utf-8", "backslashreplace")
    try:
        done = subprocess.run(
            ["dot", "-Tsvg"],  # noqa: S607  (found in PATH)
            input=text,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        what = "needs the program dot of Graphviz, which is not installed; --to dot and --to mermaid do not"
        raise click.UsageError(f"--to svg {what}") from None
    except OSError as error:
        raise click.UsageError(f"--to svg: dot does not run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        what = f"dot did not draw this in {TIMEOUT:g} seconds; a smaller --depth makes a smaller picture"
        raise click.UsageError(f"--to svg: {what}") from None
    if done.returncode or not done.stdout:
        said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise click.UsageError(f"--to svg: dot failed: {said or f'exit code {done.returncode}'}")
    return done.stdout.decode("utf-8", "replace")
