"""The front door: what ``import ckptfmt`` offers, and what it costs."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import types
from pathlib import Path

import pytest

import ckptfmt

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
    public = {
        name
        for name in dir(ckptfmt)
        if not name.startswith("_")
        and not (isinstance(getattr(ckptfmt, name), types.ModuleType) and name not in ("compat", "errors"))
    } - {"Any"}  # what annotations here need
    assert public | {"__version__"} == set(ckptfmt.__all__)
    assert len(ckptfmt.__all__) == len(set(ckptfmt.__all__))


def test_type_checkers_are_told_of_the_same_names() -> None:
    # The stub of the package: from MODULE import NAME as PUBLIC.
    stub = ast.parse((Path(ckptfmt.__file__).parent / "__init__.pyi").read_text(encoding="utf-8"))
    told = {}
    for node in stub.body:
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            module = importlib.import_module(node.module or "")
            told[alias.asname] = getattr(module, alias.name, None) or importlib.import_module(
                f"{node.module}.{alias.name}"
            )
    assert set(told) | {"__version__"} == set(ckptfmt.__all__)
    for name, value in told.items():
        assert getattr(ckptfmt, name) is value, name


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


def test_reading_a_checkpoint_needs_neither_protobuf_nor_snappy() -> None:
    code = (
        "import ckptfmt, sys; c = ckptfmt.open('examples/digits'); [c[n] for n in c]; "
        "print('cramjam' in sys.modules)"
    )
    assert run(code) == "False"
