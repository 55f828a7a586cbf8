"""What an sdist and a wheel hold, and what they should: ``python -m tests.support.distributions dist``."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def sdist_members(sdist: Path) -> set[str]:
    """Return the paths in an sdist, without its top directory."""
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def wheel_members(wheel: Path) -> set[str]:
    """Return the paths in a wheel, except those that describe it."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def project_files() -> set[str]:
    """Return the paths of the files that belong to the project: those under version control.

    CalledProcessError if this is not a checkout.
    """
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8")
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}


def differences(sdist: Path, wheel: Path, files: set[str]) -> list[str]:
    """Return a line for each file that is missing from an sdist or a wheel, or that it should not hold."""
    package = {name for name in files if name.startswith("ckptfmt/")}
    lines = []
    for path, members, wanted in (
        (sdist, sdist_members(sdist), files | {"PKG-INFO"}),
        (wheel, wheel_members(wheel), package),
    ):
        lines += [f"{path.name} lacks {name}" for name in sorted(wanted - members)]
        lines += [
            f"{path.name} holds {name}, which is not the project's" for name in sorted(members - wanted)
        ]
    return lines


def main(folder: Path) -> int:
    """Compare the sdist and the wheel in a folder with this checkout; return an exit code."""
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    wrong = differences(sdist, wheel, project_files())
    sys.stdout.writelines(f"{line}\n" for line in wrong or ["sdist and wheel hold the project's files only"])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
