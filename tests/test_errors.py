"""The errors: their families, words and fields."""

from __future__ import annotations

import pickle

import pytest

from ckptfmt import errors
from ckptfmt.errors import (
    AlreadyExistsError,
    CheckpointNotFoundError,
    ChecksumError,
    CkptfmtError,
    CorruptError,
    GraphError,
    LimitError,
    MissingDependencyError,
    NameConflictError,
    NameNotFoundError,
    NotConsumedError,
    NotReadableError,
    NotWritableError,
    PathNotFoundError,
    PlanError,
    TensorNotFoundError,
    TruncatedError,
    UnsupportedError,
)

EXAMPLES: list[tuple[CkptfmtError, type[Exception], str]] = [
    (CorruptError("bad byte", file="a.index", offset=16), ValueError, "a.index @0x10: bad byte"),
    (CorruptError("bad byte", file="a.index"), ValueError, "a.index: bad byte"),
    (CorruptError("bad byte", offset=3), ValueError, "@0x3: bad byte"),
    (CorruptError("bad byte"), ValueError, "bad byte"),
    (
        ChecksumError("block", stored=1, computed=0xFFFFFFFF, file="f", offset=0),
        CorruptError,
        "f @0x0: block: stored 0x00000001, computed 0xffffffff",
    ),
    (
        TruncatedError("block", wanted=9, available=4, file="f", offset=2),
        CorruptError,
        "f @0x2: block: want 9 bytes, got 4",
    ),
    (UnsupportedError("dtype resource"), NotImplementedError, "dtype resource"),
    (LimitError("constant", limit=1, asked=2), ValueError, "constant: asks for 2, the limit is 1"),
    (MissingDependencyError("click", "cli"), ImportError, "this needs click: pip install 'ckptfmt[cli]'"),
    (CheckpointNotFoundError("nothing there", tried=["a", "b"]), FileNotFoundError, "nothing there"),
    (PathNotFoundError("no such file", file="a"), FileNotFoundError, "a: no such file"),
    (AlreadyExistsError("f"), FileExistsError, "f: file exists (pass overwrite=True to replace it)"),
    (NotReadableError("f", "Permission denied"), OSError, "f: Permission denied"),
    (NotWritableError("f", "No space left on device"), OSError, "f: No space left on device"),
    (
        NameNotFoundError("los", file="run", noun="tag", close_matches=["loss"]),
        KeyError,
        "run: no tag 'los'; did you mean 'loss'?",
    ),
    (
        TensorNotFoundError("kernal", file="ckpt", close_matches=["kernel", "kernel_1"]),
        KeyError,
        "ckpt: no tensor 'kernal'; did you mean 'kernel' or 'kernel_1'?",
    ),
    (
        TensorNotFoundError("a", file="ckpt", names=["a", "b"]),
        KeyError,
        "ckpt: no tensors (2) 'a', 'b'",
    ),
    (
        NameConflictError("name of several tensors", names={"w": ["a", "b"]}),
        ValueError,
        "name of several tensors: 'w' by 'a', 'b'",
    ),
    (NotConsumedError("1 missing"), AssertionError, "1 missing"),
    (PlanError("no verb", file="plan.toml", step=2), ValueError, "plan.toml: step 2: no verb"),
    (GraphError("no such node", node="w"), ValueError, "node 'w': no such node"),
]

SPEC = pytest.mark.parametrize(
    ("error", "family", "words"), EXAMPLES, ids=[type(error).__name__ for error, _, _ in EXAMPLES]
)


@SPEC
def test_errors_say_where_and_what(error: CkptfmtError, family: type[Exception], words: str) -> None:
    assert str(error) == words


@SPEC
def test_errors_belong_to_pythons_families(error: CkptfmtError, family: type[Exception], words: str) -> None:
    assert isinstance(error, CkptfmtError)
    assert isinstance(error, family)


@SPEC
def test_errors_survive_pickling(error: CkptfmtError, family: type[Exception], words: str) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == words
    assert vars(copy) == vars(error)


def test_every_error_is_tried_here() -> None:
    classes = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, CkptfmtError)
    }
    assert classes - {CkptfmtError} == {type(error) for error, _, _ in EXAMPLES}
    drawn = errors.__doc__ or ""
    for cls in classes:
        assert cls.__name__ in drawn


def test_a_place_is_added_once() -> None:
    error = CorruptError("bad byte", offset=3)
    assert error.at("f", 0x10) is error
    assert (error.file, error.offset) == ("f", 0x13)
    error.at("g", 0x100)
    assert (error.file, error.offset) == ("f", 0x13)
