"""The front door: what ``import ckptfmt`` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys
import types

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
        for name, value in vars(ckptfmt).items()
        if not name.startswith("_")
        and not (isinstance(value, types.ModuleType) and name not in ("compat", "errors"))
    }
    assert public | {"__version__"} == set(ckptfmt.__all__)
    assert len(ckptfmt.__all__) == len(set(ckptfmt.__all__))


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
