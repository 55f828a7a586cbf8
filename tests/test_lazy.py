"""Packages that load a module when one of its names is first used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.lazy import lazy_names
from tests.support.command_line import environment

PACKAGE = Path(ckptfmt.__file__).parent

STUBS = sorted(path for path in PACKAGE.glob("*/**/__init__.pyi"))


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.parent.relative_to(PACKAGE).as_posix())
def test_a_package_has_the_names_of_its_stub(stub: Path) -> None:
    package = importlib.import_module(".".join(stub.parent.relative_to(PACKAGE.parent).parts))
    for line in ast.parse(stub.read_text(encoding="utf-8")).body:
        assert isinstance(line, ast.ImportFrom)
        for alias in line.names:
            assert alias.asname is not None
            defined = getattr(importlib.import_module(line.module or ""), alias.name)
            assert getattr(package, alias.asname) is defined
            # A module of that name would hide the other once it is imported.
            assert not (stub.parent / f"{alias.asname}.py").exists()


def test_every_lazy_package_has_a_stub() -> None:
    lazy = {path.parent for path in PACKAGE.rglob("__init__.py") if "lazy_names(" in path.read_text("utf-8")}
    assert lazy == {path.parent for path in STUBS}


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match=r"module 'ckptfmt.filetype' has no attribute 'nothing'"):
        importlib.import_module("ckptfmt.filetype").nothing  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'b'"):
        lazy_names("ckptfmt.plans", {"plan": "Plan"})("b")


def test_reading_loads_nothing_that_writes() -> None:
    code = (
        "import sys, ckptfmt\n"
        "ckptfmt.open('examples/digits').read()\n"
        "print(*(name for name in sys.modules if name.startswith('ckptfmt.')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACKAGE.parent,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "ckptfmt.tensors.checkpoint" in loaded
    writing = {"arrays.convert", "checkpoint.checkpoint_writer", "plans.operations", "saving.save"}
    writing |= {"storage.output.local_output", "storage.output.claim", "table.writer"}
    assert not loaded & {f"ckptfmt.{name}" for name in writing}
