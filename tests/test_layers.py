"""The layers of the package: a module imports from lower ones only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ckptfmt

PACKAGE = Path(ckptfmt.__file__).parent

LAYERS = [
    {"text"},
    {"errors", "dtypes"},
    {"wire", "proto"},
    {"storage", "arrays", "tabular"},
    {"table", "record", "riegeli", "object_graph", "filenames"},
    {"filetype"},
    {"checkpoint", "graph"},
    {"plans", "integrity", "events"},
    {"tensors"},
    {"saved_model", "compare"},
    {"compat"},
    {""},  # ckptfmt/__init__.py: the public names
    {"cli"},
    {"__main__"},
]
"""Lowest first; units of one level do not import each other."""

LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}

MODULES = sorted(PACKAGE.rglob("*.py"))


def unit_of(module: str) -> str:
    """The unit a module belongs to: the name behind ``ckptfmt.``, ``""`` for the package itself."""
    return [*module.split("."), ""][1]


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def own_imports(tree: ast.AST) -> list[tuple[ast.stmt, str]]:
    """Imports of this package's modules, with what they import."""
    found: list[tuple[ast.stmt, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                target = f"{node.module}.{alias.name}"
                is_unit = node.module == "ckptfmt" and unit_of(target) in LEVEL
                found.append((node, target if is_unit else node.module or ""))
    return [(node, name) for node, name in found if name.split(".")[0] == "ckptfmt"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_modules_import_from_lower_layers_only(path: Path) -> None:
    unit = unit_of(module_of(path))
    for node, name in own_imports(ast.parse(path.read_text(encoding="utf-8"))):
        other = unit_of(name)
        if other != unit:
            assert LEVEL[other] < LEVEL[unit], (
                f"{path.name}:{node.lineno}: {unit or 'ckptfmt'} imports {name}"
            )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_own_imports_stand_at_the_top(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # A module-level try may replace what an extra would bring.
    top = {
        id(node) for outer in tree.body for node in (outer.body if isinstance(outer, ast.Try) else [outer])
    }
    for node, name in own_imports(tree):
        assert id(node) in top, f"{path.name}:{node.lineno}: import of {name} inside a function or condition"


def test_every_module_has_a_level() -> None:
    assert {unit_of(module_of(path)) for path in MODULES} <= set(LEVEL)


def test_the_command_line_uses_public_names_only() -> None:
    for path in (PACKAGE / "cli").glob("*.py"):
        for node, name in own_imports(ast.parse(path.read_text(encoding="utf-8"))):
            allowed = name == "ckptfmt" or unit_of(name) in ("cli", "errors")
            assert allowed, f"{path.name}:{node.lineno}: {name}"
