"""The stub of the package, which tells type checkers the public names; written from the table in __init__.py.

python -m tests.support.make_stub
"""

from __future__ import annotations

from pathlib import Path

import ckptfmt

STUB = Path(ckptfmt.__file__).with_suffix(".pyi")

OLD = "# Old names, which still work and warn: _RENAMED in __init__.py. They are not in __all__."


def stub() -> str:
    """Return the text of the stub."""
    imports = []
    for public, place in ckptfmt._PUBLIC.items():
        module, _, name = place.partition(":")
        if not name:
            module, _, name = module.rpartition(".")
        imports.append(f"from {module} import {name} as {public}")
    names = "".join(f'    "{name}",\n' for name in ckptfmt.__all__)
    old_imports, aliases = [], []
    for old, new in ckptfmt._RENAMED.items():
        module, colon, name = ckptfmt._OLD_FUNCTIONS.get(old, new).partition(":")
        if colon:
            # An import under another name is not exported from a stub, so an assignment gives the old name.
            old_imports.append(f"from {module} import {name} as _{old}")
        aliases.append(f"{old} = _{old}" if colon else f"{old} = {new}")
    old_names = "\n".join([OLD, *sorted(old_imports), "", *sorted(aliases)])
    head = "# Written by tests/support/make_stub.py from the table in __init__.py."
    text = "\n".join([head, "", *sorted(imports)])
    return f"{text}\n\n{old_names}\n\n__version__: str\n\n__all__ = [\n{names}]\n"


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
