"""A user's way to an answer, with everything that has to be typed for it counted."""

from __future__ import annotations

import ast
import shlex
import shutil
from pathlib import Path
from typing import Any

from click.testing import Result

from tests.support.command_line import run

ROOT = Path(__file__).parent.parent.parent


def beside_examples(folder: Path) -> Path:
    """Return a directory that is as the root of the project to a user's commands, and may be written to."""
    for name in ("examples", "tests"):
        (folder / name).symlink_to(ROOT / name)
    return folder


class Journey:
    """What a user types in one directory, on the command line and in Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {}
        self.commands = 0
        """How many commands and statements were typed. Imports do not count."""

    def bring(self, source: Path | str, name: str) -> Path:
        """Copy a directory of the project, or one with an absolute path, into that of the user."""
        return Path(shutil.copytree(ROOT / source, self.folder / name))

    def shell(self, line: str, code: int | None = 0) -> Result:
        """Run ``ckptfmt …``, which must end with this exit code, if one is given."""
        program, *args = shlex.split(line)
        assert program == "ckptfmt"
        self.commands += 1
        result = run(*args)
        assert code in (None, result.exit_code), result.output
        return result

    def python(self, script: str) -> dict[str, Any]:
        """Run statements after the earlier ones, and return all names that they have bound."""
        tree = ast.parse(script)
        self.commands += sum(not isinstance(each, ast.Import | ast.ImportFrom) for each in tree.body)
        exec(compile(tree, "<journey>", "exec"), self.names)
        return self.names
