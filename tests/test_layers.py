"""The rooms of the package and their rules, read from docs/architecture.md."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.cli.app import VERBS
from ckptfmt.converting.sources.open_tensors import SOURCES

PACKAGE = Path(ckptfmt.__file__).parent
PAGE = PACKAGE.parent / "docs" / "architecture.md"

MODULES = sorted(PACKAGE.rglob("*.py"))
EACH_MODULE = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())


def read_levels() -> dict[str, int]:
    """The level of each room, from the page's first block; a level stands for the lines below it too."""
    block = re.search(r"^```text\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert block is not None
    levels: dict[str, int] = {}
    level = -1
    for line in block[1].splitlines():
        found = re.fullmatch(r"(?:L(\d+))? +(\S+)  +\S.*", line)
        assert found is not None, line
        level = int(found[1]) if found[1] else level
        levels[found[2]] = level
    return levels


LEVEL = read_levels()


def room_of(module: str) -> str:
    """The room of a module, given as ``ckptfmt.a.b``: the longest name of a room that it begins with."""
    path = module.removeprefix("ckptfmt").removeprefix(".").replace(".", "/") or "__init__"
    while path not in LEVEL:
        path, slash, _ = path.rpartition("/")
        assert slash, f"{module} is in no room of {PAGE.name}"
    return path


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KNOWN = {module_of(path) for path in MODULES}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def own_imports(tree: ast.AST) -> list[tuple[ast.stmt, str]]:
    """Imports of this package's modules, with what they import."""
    found: list[tuple[ast.stmt, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.append((node, inner if inner in KNOWN else node.module or ""))
    return [(node, name) for node, name in found if name.split(".")[0] == "ckptfmt"]


@EACH_MODULE
def test_imports_go_down(path: Path) -> None:
    room = room_of(module_of(path))
    for node, name in own_imports(parse(path)):
        other = room_of(name)
        assert other == room or LEVEL[other] < LEVEL[room], f"line {node.lineno}: {room} imports {name}"


@EACH_MODULE
def test_own_imports_stand_at_the_top(path: Path) -> None:
    tree = parse(path)
    # A module-level try may replace what an extra would bring.
    top = {
        id(node) for outer in tree.body for node in (outer.body if isinstance(outer, ast.Try) else [outer])
    }
    for node, name in own_imports(tree):
        assert id(node) in top, f"line {node.lineno}: import of {name} inside a function or condition"


def test_every_room_exists() -> None:
    assert {room_of(module) for module in KNOWN} == set(LEVEL)


def test_the_modules_that_the_page_names_exist() -> None:
    named = re.findall(
        r"`([a-z0-9_/]+(?:\.py|/))`", PAGE.read_text(encoding="utf-8").partition("## Where to look")[2]
    )
    assert len(named) > 20
    assert [name for name in named if not (PACKAGE / name).exists()] == []


# --- files -------------------------------------------------------------------------------------------------

TOUCHES_FILES = {
    "os": "open stat lstat fstat scandir listdir walk fdopen link unlink remove rename replace rmdir chmod",
    "os.path": "exists lexists isfile isdir islink ismount getsize getmtime realpath samefile",
    "glob": "glob iglob",
    "mmap": "mmap",
    "tempfile": "*",
    "shutil": "*",
    "pathlib": "Path",
    "io": "open FileIO",
    "": "open",
}
"""Functions that ask the operating system about a path, by their module."""


def called_names(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Line, module and name of what is used as ``module.name``, ``os.path.name`` or a builtin call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.lineno, ast.unparse(node.value), node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.lineno, "", node.func.id


@EACH_MODULE
def test_only_storage_touches_files(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    if name.startswith("storage/"):
        return
    for line, module, used in called_names(parse(path)):
        names = TOUCHES_FILES.get(module, "").split()
        assert names != ["*"], f"line {line}: {module}"
        assert used not in names, f"line {line}: {module}.{used}"


@EACH_MODULE
def test_only_the_output_creates_files(path: Path) -> None:
    if path.relative_to(PACKAGE).as_posix().startswith("storage/output/"):
        return
    text = path.read_text(encoding="utf-8")
    for word in ("O_CREAT", "O_WRONLY", "O_RDWR", "os.replace", "os.rename", "os.link(", "makedirs", "mkdir"):
        assert word not in text, word


# --- advice ------------------------------------------------------------------------------------------------


@EACH_MODULE
def test_only_filetype_names_what_stands_above_it(path: Path) -> None:
    """Strings that are not docstrings name no verb, and no public function of a higher level."""
    room = room_of(module_of(path))
    if room.startswith("cli") or room in ("__main__", "__init__"):
        return
    if re.fullmatch(r"ckptfmt\.filetype\.(kinds|foreign_models|foreign_files)", module_of(path)):
        return
    tree = parse(path)
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            verbs = re.findall(r"'ckptfmt (\w+)", node.value)
            assert not set(verbs) & set(VERBS), f"line {node.lineno}: {node.value!r}"
            for name in re.findall(r"\bckptfmt\.(\w+)", node.value):
                place = ckptfmt._PUBLIC.get(name, "").partition(":")[0]
                above = place and LEVEL[room_of(place)] > LEVEL[room]
                assert not above, f"line {node.lineno}: {node.value!r}"


# --- names -------------------------------------------------------------------------------------------------


def test_a_name_stands_once_on_a_level() -> None:
    places: dict[tuple[int, str], set[str]] = defaultdict(set)
    for path in MODULES:
        module = module_of(path)
        for node in parse(path).body:
            is_function = isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
            if isinstance(node, ast.ClassDef) or is_function:
                places[LEVEL[room_of(module)], node.name].add(module)
    twice = {name: sorted(modules) for (_, name), modules in places.items() if len(modules) > 1}
    by_protocol = {"command": sorted(VERBS.values()), "open_source": sorted(SOURCES.values())}
    assert twice == by_protocol, twice
