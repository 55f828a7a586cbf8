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
    ConversionError,
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
        "f @0x2: block: got 4 bytes, want 9",
    ),
    (UnsupportedError("dtype resource"), NotImplementedError, "dtype resource"),
    (LimitError("constant", limit=1, asked=2), ValueError, "constant: 2 exceeds the limit of 1"),
    (MissingDependencyError("click", "cli"), ImportError, "this needs click: pip install 'ckptfmt[cli]'"),
    (CheckpointNotFoundError("nothing there", tried=["a", "b"]), FileNotFoundError, "nothing there"),
    (PathNotFoundError("no such file", file="a"), FileNotFoundError, "a: no such file"),
    (AlreadyExistsError("f"), FileExistsError, "f: file exists; pass overwrite=True to replace it"),
    (NotReadableError("f", "Permission denied"), OSError, "f: Permission denied"),
    (NotWritableError("f", "No space left on device"), OSError, "f: No space left on device"),
    (
        NameNotFoundError("los", file="run", noun="tag", close_matches=["loss"]),
        KeyError,
        "run: no tag named 'los'; did you mean 'loss'?",
    ),
    (
        TensorNotFoundError("kernal", file="ckpt", close_matches=["kernel", "kernel_1"]),
        KeyError,
        "ckpt: no tensor named 'kernal'; did you mean 'kernel' or 'kernel_1'?",
    ),
    (
        TensorNotFoundError("a", file="ckpt", names=["a", "b"]),
        KeyError,
        "ckpt: no tensors named 'a', 'b'",
    ),
    (
        NameConflictError("name of several tensors", names={"w": ["a", "b"]}),
        ValueError,
        "name of several tensors: 'w' by 'a', 'b'",
    ),
    (NotConsumedError("1 missing"), AssertionError, "1 missing"),
    (PlanError("no verb", file="plan.toml", step=2), ValueError, "plan.toml: step 2: no verb"),
    (
        ConversionError("npz", {"a": "no bfloat16", "b": "no bfloat16"}, file="ckpt"),
        TypeError,
        "ckpt: npz cannot hold all tensors (no bfloat16: 'a', 'b'): pass cast= or exclude=",
    ),
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


EACH = pytest.mark.parametrize(
    "error", [error for error, _, _ in EXAMPLES], ids=[type(error).__name__ for error, _, _ in EXAMPLES]
)


@EACH
def test_every_error_has_what_and_where(error: CkptfmtError) -> None:
    assert error.what
    assert error.file is None or str(error).startswith(error.file)
    assert str(error).endswith(error.what)
    assert repr(error) == f"{type(error).__name__}({str(error)!r})"


# --- places -------------------------------------------------------------------------------------------------


def test_a_place_is_added_once() -> None:
    error = CorruptError("bad byte", offset=3)
    assert error.at("f", 0x10) is error
    assert (error.file, error.offset) == ("f", 0x13)
    error.at("g", 0x100)
    assert (error.file, error.offset) == ("f", 0x13)
    assert str(error) == "f @0x13: bad byte"


def test_an_error_without_an_offset_is_about_the_first_byte() -> None:
    error = CorruptError("bad block").at("f", 0x10)
    assert (error.file, error.offset) == ("f", 0x10)


def test_where_the_bytes_lie_may_not_be_known() -> None:
    """Then the offset, which counts from their first, says nothing about the file."""
    error = CorruptError("bad byte", offset=3).at("f")
    assert (error.file, error.offset) == ("f", None)
    assert str(error) == "f: bad byte"


@pytest.mark.parametrize(
    "error",
    [
        CorruptError("bad byte", offset=3),
        ChecksumError("block", stored=1, computed=2, offset=3),
        TruncatedError("block", wanted=9, available=4, offset=3),
    ],
)
def test_within_warns_and_places_a_corrupt_error(error: CorruptError) -> None:
    with pytest.warns(DeprecationWarning, match=r"within is now CorruptError\.at") as caught:
        assert error.within("f", 0x10) is error
    assert caught[0].filename == __file__
    assert (error.file, error.offset) == ("f", 0x13)
    with pytest.warns(DeprecationWarning, match="CorruptError.at"):
        assert CorruptError("bad byte", offset=3).within("f").offset == 3


def test_a_label_says_what_the_bytes_are_each_time() -> None:
    error = CorruptError("bad byte", offset=3).at("f", 8, label="entry 'w'")
    assert (error.what, str(error)) == ("entry 'w': bad byte", "f @0xb: entry 'w': bad byte")
    error.at("g", 0, label="index")
    assert str(error) == "f @0xb: index: entry 'w': bad byte"


@EACH
def test_every_error_can_be_placed_and_keeps_its_arguments(error: CkptfmtError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    arguments = copy.args
    assert copy.at("file", 0, label="label") is copy
    assert copy.file == error.file or (error.file is None and copy.file == "file")
    assert copy.what == f"label: {error.what}"
    assert "label" in str(copy)
    assert copy.args == arguments


def test_a_placed_error_survives_pickling() -> None:
    error = TruncatedError("block", wanted=9, available=4, offset=2).at("f", 16, label="index")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.offset, copy.wanted) == (str(error), 18, 9)


# --- fields -------------------------------------------------------------------------------------------------


def test_numbers_of_a_message_are_fields() -> None:
    checksum = ChecksumError("block", stored=1, computed=2)
    assert (checksum.stored, checksum.computed) == (1, 2)
    truncated = TruncatedError("block", wanted=9, available=4)
    assert (truncated.wanted, truncated.available) == (9, 4)
    limit = LimitError("constant", limit=1, asked=2, file="f", offset=3)
    assert (limit.limit, limit.asked, limit.file, limit.offset) == (1, 2, "f", 3)
    missing = MissingDependencyError("click", "cli")
    assert (missing.package, missing.extra, missing.file) == ("click", "cli", None)
    assert (PlanError("no verb", step=2).step, PlanError("no verb").step) == (2, None)
    assert (GraphError("bad", node="w").node, GraphError("bad").node) == ("w", None)


def test_paths_that_were_tried_are_the_one_asked_for_unless_there_were_more() -> None:
    assert PathNotFoundError("no such file", file="a").tried == ("a",)
    assert PathNotFoundError("no such file").tried == ()
    more = CheckpointNotFoundError("nothing there", file="d", tried=["d/a", "d/b"])
    assert (more.file, more.tried) == ("d", ("d/a", "d/b"))
    assert isinstance(more, PathNotFoundError)


def test_an_existing_file_is_replaced_by_a_word_unless_told_otherwise() -> None:
    error = AlreadyExistsError("f", "file exists; append to it")
    assert (error.file, str(error)) == ("f", "f: file exists; append to it")


def test_names_that_were_not_found_are_fields() -> None:
    one = NameNotFoundError("los", file="run", noun="tag", close_matches=["loss"])
    assert (one.name, one.names, one.close_matches) == ("los", ("los",), ("loss",))
    many = TensorNotFoundError("n0", file="ckpt", names=[f"n{number}" for number in range(30)])
    assert (many.name, len(many.names), many.close_matches) == ("n0", 30, ())
    assert str(many).startswith("ckpt: no tensors named 'n0', 'n1', ")
    assert str(many).endswith("'n19' and 10 more")
    assert isinstance(many, NameNotFoundError)
    told = TensorNotFoundError("a", file="ckpt", what="'a' is a scope", close_matches=["a/b"])
    assert str(told) == "ckpt: 'a' is a scope; did you mean 'a/b'?"


def test_names_in_conflict_are_fields_and_the_first_few_of_the_message() -> None:
    error = NameConflictError("taken", names={f"n{number}": ["a", "b", "c", "d"] for number in range(30)})
    assert error.names["n29"] == ("a", "b", "c", "d")
    assert str(error).startswith("taken: 'n0' by 'a', 'b', 'c', 'n1' by ")
    assert str(error).endswith(" and 10 more")


def test_the_text_of_a_key_error_is_not_quoted() -> None:
    """As that of Python's own is."""
    assert str(NameNotFoundError("w", file="f", noun="node")) == "f: no node named 'w'"
