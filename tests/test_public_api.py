"""The front door: what ``import ckptfmt`` offers, and what it costs."""

from __future__ import annotations

import ast
import inspect
import operator
import pkgutil
import subprocess
import sys
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.plans import steps
from ckptfmt.plans.step import Step
from tests.support import make_stub

CONTRACT = {
    "Checkpoint",
    "CheckpointState",
    "Entry",
    "compat",
    "errors",
    "latest_checkpoint",
    "open",
    "read_checkpoint_state",
}


def run(code: str) -> str:
    """What a new process prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_all_is_what_is_exported() -> None:
    assert set(ckptfmt.__all__) <= set(dir(ckptfmt))
    for name in ckptfmt.__all__:
        assert getattr(ckptfmt, name) is not None, name


def test_type_checkers_are_told_of_the_same_names() -> None:
    assert make_stub.STUB.read_text(encoding="utf-8") == make_stub.stub(), (
        "run python -m tests.support.make_stub"
    )


def test_the_stub_declares_public_names_and_old_ones_but_lists_only_the_former() -> None:
    declared: set[str] = set()
    listed: list[str] = []
    for node in ast.parse(make_stub.STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            declared |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed = ast.literal_eval(node.value)
        elif isinstance(node, ast.Assign):
            declared.add(ast.unparse(node.targets[0]))
    assert {name for name in declared if not name.startswith("_")} == {*ckptfmt._PUBLIC, *ckptfmt._RENAMED}
    assert listed == ckptfmt.__all__


def test_type_checkers_accept_old_names(tmp_path: Path) -> None:
    mypy = pytest.importorskip("mypy.api", reason="mypy is not installed")
    lines = ["import ckptfmt", *(f"ckptfmt.{old}" for old in ckptfmt._RENAMED)]
    calls = ["def used(model: ckptfmt.SavedModel, events: ckptfmt.EventFile, node: ckptfmt.Node) -> None:"]
    calls += ["    ckptfmt.reach(model=model, signature='s').variables", "    ckptfmt.unreached(model=model)"]
    (tmp_path / "program.py").write_text("\n".join([*lines, *calls]))
    cache = f"--cache-dir={tmp_path}"
    output, errors, _ = mypy.run(["--strict", "--follow-imports=silent", cache, str(tmp_path / "program.py")])
    assert (output, errors) == ("Success: no issues found in 1 source file\n", "")


@pytest.mark.parametrize(("old", "new"), ckptfmt._RENAMED.items())
def test_old_names_warn(old: str, new: str) -> None:
    is_public = ":" not in new
    shown = f"ckptfmt.{new}" if is_public else new.replace(":", ".")
    with pytest.warns(DeprecationWarning, match=f"ckptfmt.{old} is now {shown}$"):
        value = getattr(ckptfmt, old)
    place = ckptfmt._OLD_FUNCTIONS.get(old, new)
    assert value == (pkgutil.resolve_name(place) if ":" in place else operator.attrgetter(new)(ckptfmt))
    assert old not in ckptfmt.__all__


def public_members(cls: type) -> Iterator[object]:
    """The public methods and properties of a class of this package, inherited ones too, as functions."""
    for base in cls.__mro__:
        for name, member in vars(base).items() if base.__module__.startswith("ckptfmt.") else ():
            if not name.startswith("_") or name == "__getitem__":
                yield getattr(member, "fget", None) or getattr(member, "func", None) or unwrap(member)


def unwrap(member: object) -> object:
    return getattr(member, "__func__", member)  # of class and static methods


def classes_in(
    annotation: object, scope: Mapping[str, object], seen: frozenset[object] = frozenset()
) -> Iterator[type]:
    """The classes of this package that an annotation names, within others and by aliases too."""
    if isinstance(annotation, str):
        names = [
            node.id for node in ast.walk(ast.parse(annotation, mode="eval")) if isinstance(node, ast.Name)
        ]
        for value in (scope.get(name) for name in names if annotation not in seen):
            yield from classes_in(value, scope, seen | {annotation})
    elif isinstance(annotation, type) and str(annotation.__module__).startswith("ckptfmt."):
        yield annotation
    for part in filter(None, (typing.get_origin(annotation), *typing.get_args(annotation))):
        yield from classes_in(part, scope, seen)


def annotations(value: object) -> Iterator[tuple[object, Mapping[str, object]]]:
    """What a function returns, and methods and attributes of a class return or are, with their globals."""
    if isinstance(value, type):
        scope = vars(sys.modules[value.__module__])
        yield from (
            (hint, scope) for name, hint in inspect.get_annotations(value).items() if not name.startswith("_")
        )
        yield from attributes_set(value)
    for member in public_members(value) if isinstance(value, type) else [unwrap(value)]:
        if isinstance(member, types.FunctionType):
            yield member.__annotations__.get("return"), member.__globals__


def attributes_set(cls: type) -> Iterator[tuple[object, Mapping[str, object]]]:
    """The public attributes that ``__init__`` sets: their annotations, or those of what is assigned."""
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        if not base.__module__.startswith("ckptfmt.") or not isinstance(init, types.FunctionType):
            continue
        if init.__code__.co_filename == "<string>":
            continue  # of a dataclass, whose fields are annotated
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(init)))):
            if isinstance(node, ast.AnnAssign) and is_public_attribute(node.target):
                yield ast.unparse(node.annotation), init.__globals__
            elif isinstance(node, ast.Assign) and any(map(is_public_attribute, node.targets)):
                yield assigned(node.value, init), init.__globals__


def is_public_attribute(target: ast.expr) -> bool:
    return (
        isinstance(target, ast.Attribute)
        and ast.unparse(target.value) == "self"
        and not target.attr.startswith("_")
    )


def assigned(value: ast.expr, init: types.FunctionType) -> object:
    """The annotation of an assigned parameter, or what an assigned call returns; None for anything else."""
    if isinstance(value, ast.Name):
        return init.__annotations__.get(value.id)
    called = value.func if isinstance(value, ast.Call) else None
    function = init.__globals__.get(called.id) if isinstance(called, ast.Name) else None
    return function if isinstance(function, type) else getattr(function, "__annotations__", {}).get("return")


def returned_classes() -> set[type]:
    """Every class that public functions and methods return, or that an attribute of such a class is of."""
    found: set[type] = set()
    waiting = [getattr(ckptfmt, name) for name in ckptfmt.__all__]
    while waiting:
        new = {cls for hint, scope in annotations(waiting.pop()) for cls in classes_in(hint, scope)} - found
        # The steps of a plan are told apart by their classes.
        if Step in new:
            new |= set(filter(is_concrete, vars(steps).values()))
        found |= new
        waiting += new
    return found


def is_concrete(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Step) and not inspect.isabstract(value)


def test_every_class_that_is_returned_can_be_imported() -> None:
    importable = {value for value in vars(ckptfmt.types).values() if isinstance(value, type)}
    messages = {cls for cls in returned_classes() if cls.__module__.startswith("ckptfmt.proto")}
    assert {
        f"{cls.__module__}.{cls.__qualname__}" for cls in returned_classes() - importable - messages
    } == set()


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'ckptfmt' has no attribute 'nothing'"):
        ckptfmt.nothing  # noqa: B018
    assert not hasattr(ckptfmt, "__wrapped__")


def test_the_contract_is_kept() -> None:
    assert set(ckptfmt.__all__) >= CONTRACT
    for name in (
        "prefix",
        "format",
        "entries",
        "read",
        "slice",
        "verify",
        "close",
        "__enter__",
        "__getitem__",
    ):
        assert name == "entries" or hasattr(ckptfmt.Checkpoint, name)


def test_everything_public_has_a_docstring() -> None:
    for name in ckptfmt.__all__:
        value = getattr(ckptfmt, name)
        if name not in ("__version__", "DTYPES"):
            assert (value.__doc__ or "").strip(), name


def test_importing_loads_nothing_that_may_not_be_needed() -> None:
    code = "import ckptfmt, sys; print(*sorted(sys.modules))"
    loaded = set(run(code).split())
    for heavy in (
        "tensorflow",
        "click",
        "rich",
        "cramjam",
        "concurrent.futures.thread",
        "logging",
        "ckptfmt.compat",
        "ckptfmt.graph.graph",
        "ckptfmt.compare.match",
        "ckptfmt.saved_model.saved_model",
        "google.protobuf.message",
    ):
        assert heavy not in loaded, heavy


def test_importing_has_no_side_effects() -> None:
    assert run("import ckptfmt") == ""


def test_reading_a_checkpoint_loads_nothing_that_others_need() -> None:
    code = (
        "import ckptfmt, sys; c = ckptfmt.open('examples/digits/ckpt-10'); [c[n] for n in c]; "
        "print(*sorted(sys.modules))"
    )
    loaded = set(run(code).split())
    assert "ckptfmt.checkpoint.bundle" in loaded
    for other in (
        "cramjam",
        "google.protobuf.message",
        "json",
        "ml_dtypes",
        "ckptfmt.checkpoint.v1",
        "ckptfmt.filetype.kinds",
        "ckptfmt.integrity.verify",
        "ckptfmt.object_graph.object_graph",
        "ckptfmt.plans.plan",
        "ckptfmt.proto.parse",
    ):
        assert other not in loaded, other
