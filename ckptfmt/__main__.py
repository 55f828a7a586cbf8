"""The ``ckptfmt`` command, also as ``python -m ckptfmt``."""

from __future__ import annotations

import sys
from typing import NoReturn

try:
    from ckptfmt.cli.app import app
except ModuleNotFoundError as error:
    # Only what the extra installs is optional; anything else missing is a broken installation.
    if error.name not in ("click", "rich"):
        raise
    MISSING: str | None = error.name
else:
    MISSING = None

USAGE = 2
"""Exit code where the command cannot be run as it was asked for."""


def main() -> NoReturn:
    """Run the command line and exit; see ``ckptfmt --help``."""
    if MISSING is not None:
        sys.stderr.write(f"ckptfmt: the command line needs {MISSING}: pip install 'ckptfmt[cli]'\n")
        sys.exit(USAGE)
    app.main(prog_name="ckptfmt")


if __name__ == "__main__":
    main()
