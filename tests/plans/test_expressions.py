"""Expressions: values that equal NumPy's, regions that read only what they need, and misfits."""

from __future__ import annotations

import itertools
import math

import ml_dtypes
import numpy as np
import pytest

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.slices import Region, whole, within
from ckptfmt.dtypes import BY_NAME, DTYPES
from ckptfmt.errors import PlanError
from ckptfmt.plans import reshaped
from ckptfmt.plans.arithmetic import Filled, Summed
from ckptfmt.plans.expressions import Expression, Reading, Stored
from ckptfmt.plans.operations import MAX_DEPTH, MAX_WEIGHT, Cast, Concatenated, Part, Transposed
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.reshaped import Reshaped
from tests.support.arrays import Arrays

W = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
S = np.array([b"a", b"bc", b"", b"d"], object).reshape(2, 2)
FLOAT32, INT64 = BY_NAME["float32"], BY_NAME["int64"]
BFLOAT16 = BY_NAME["bfloat16"]


@pytest.fixture
def tensors() -> Arrays:
    return Arrays(
        {"w": W, "v": W + 100, "i": np.arange(6), "s": S, "0": np.float32(7), "e": np.zeros((0, 3))}
    )


EXPRESSIONS: dict[str, tuple[Expression, np.ndarray]] = {
    "stored": (Stored("w"), W),
    "transposed": (Transposed(Stored("w"), (2, 0, 1)), W.transpose(2, 0, 1)),
    "reversed": (Transposed(Stored("w")), W.T),
    "scalar": (Transposed(Stored("0")), np.float32(7)),
    "reshaped": (Reshaped(Stored("w"), (4, -1)), W.reshape(4, 6)),
    "reshaped after transposed": (Reshaped(Transposed(Stored("w")), (-1,)), W.T.reshape(-1)),
    "scalar reshaped": (Reshaped(Stored("0"), (1, -1)), np.array([[7]], np.float32)),
    "empty reshaped": (Reshaped(Stored("e"), (5, -1)), np.zeros((5, 0))),
    "cast": (Cast(Stored("w"), BFLOAT16), W.astype(ml_dtypes.bfloat16)),
    "middle part": (Part(Stored("w"), -1, 1, 3, (1, 3, 4)), W[:, :, 1:3]),
    "half": (Part(Stored("w"), 2, 1, 2), W[:, :, 2:]),
    "concatenated": (Concatenated((Stored("w"), Stored("v")), 1), np.concatenate([W, W + 100], 1)),
    "alone": (Concatenated((Stored("w"),), 0), W),
    "strings": (Transposed(Reshaped(Concatenated((Stored("s"), Stored("s")), 0), (2, 4))),
                np.concatenate([S, S]).reshape(2, 4).T),
    "string part": (Part(Stored("s"), 1, 0, 2), S[:, :1]),
    "filled": (Filled(Stored("w"), 0.5), np.full(W.shape, 0.5, np.float32)),
    "filled scalar": (Filled(Stored("w"), 0, (), INT64), np.int64(0)),
    "filled bfloat16": (Filled(Stored("i"), 1, (2, 3), BFLOAT16), np.ones((2, 3), ml_dtypes.bfloat16)),
    "summed": (Summed((Stored("w"), Stored("v"), Filled(Stored("w"), 1))), W + (W + 100) + 1),
    "summed alone": (Summed((Stored("i"),)), np.arange(6)),
    "all of them": (
        Concatenated(
            (
                Transposed(Part(Stored("w"), 1, 2, 3), (2, 1, 0)),
                Cast(Cast(Transposed(Part(Stored("v"), 1, 0, 3), (2, 1, 0)), INT64), FLOAT32),
            ),
            -1,
        ),
        np.concatenate([W[:, 2:].transpose(2, 1, 0), (W + 100)[:, :1].transpose(2, 1, 0)], -1),
    ),
}  # fmt: skip


def regions(shape: tuple[int, ...]) -> list[Region]:
    """Every region of a small shape."""
    bounds = [[(a, b) for a in range(n + 1) for b in range(a, n + 1)] for n in shape]
    return list(itertools.product(*bounds))


@pytest.mark.parametrize("case", EXPRESSIONS)
@pytest.mark.parametrize("small", [1, reshaped.SMALL])
def test_values_are_those_of_numpy_in_whole_and_in_any_region(
    case: str, small: int, tensors: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reshaped, "SMALL", small)
    expression, wanted = EXPRESSIONS[case]
    got = tensors.value(expression)
    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(got, wanted)
    assert not got.flags.writeable
    assert expression.spec(tensors.entries)[1] == wanted.shape
    for region in regions(wanted.shape):
        part = tensors.value(expression, region)
        assert isinstance(part, np.ndarray)
        assert not part.flags.writeable
        np.testing.assert_array_equal(part, wanted[within(region, whole(wanted.shape))])


@pytest.mark.parametrize(
    "case", ["stored", "transposed", "reversed", "reshaped", "middle part", "half", "alone"]
)
def test_views_share_memory_with_the_stored_tensor(case: str, tensors: Arrays) -> None:
    assert np.shares_memory(tensors.value(EXPRESSIONS[case][0]), tensors.arrays["w"])


@pytest.mark.parametrize(
    "case",
    [case for case in EXPRESSIONS if not any(word in case for word in ("strings", "reshaped", "summed"))],
)
def test_a_region_fetches_no_more_elements_than_it_has(case: str, tensors: Arrays) -> None:
    expression, wanted = EXPRESSIONS[case]
    for region in regions(wanted.shape):
        tensors.fetched.clear()
        tensors.value(expression, region)
        assert tensors.fetched_elements <= math.prod(stop - start for start, stop in region)


def test_a_region_in_one_part_of_a_concat_does_not_touch_the_others(tensors: Arrays) -> None:
    joined = Concatenated((Stored("w"), Stored("v")), 0)
    part = tensors.value(joined, ((2, 4), (0, 3), (0, 4)))
    assert [name for name, _ in tensors.fetched] == ["v"]
    assert np.shares_memory(part, tensors.arrays["v"])


@pytest.mark.parametrize(
    ("shape", "region", "elements"),
    [
        ((8, 3), ((0, 2), (0, 3)), 12),  # the first 6 elements: one row of (2, 3, 4)
        ((8, 3), ((3, 5), (1, 2)), 24),  # elements 9 to 14: both rows
        ((1, 1, 24), ((0, 1), (0, 1), (13, 15)), 12),  # leading axes of one index separate nothing
        ((24,), ((12, 12),), 0),
    ],
)
def test_a_region_of_a_reshape_reads_the_rows_that_hold_it(
    shape: tuple[int, ...], region: Region, elements: int, tensors: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reshaped, "SMALL", 1)
    part = tensors.value(Reshaped(Stored("w"), shape), region)
    np.testing.assert_array_equal(part, W.reshape(shape)[within(region, whole(shape))])
    assert tensors.fetched_elements == elements


@pytest.mark.parametrize("small", [1, reshaped.SMALL])
def test_pieces_of_a_reshape_read_each_row_once(
    small: int, tensors: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reshaped, "SMALL", small)
    reading = Reading(tensors.fetch, tensors.entries)
    expression = Reshaped(Stored("w"), (8, 3))
    pieces = [expression.value(reading, ((at, at + 1), (0, 3))) for at in range(8)]
    np.testing.assert_array_equal(np.concatenate(pieces), W.reshape(8, 3))
    assert tensors.fetched_elements == W.size


def test_a_number_takes_no_memory(tensors: Arrays) -> None:
    filled = tensors.value(Filled(Stored("w"), 1, (1 << 20, 1 << 20)))
    assert filled.shape == (1 << 20, 1 << 20)
    assert tensors.fetched == []


def test_sources_are_each_stored_tensor_once() -> None:
    joined = Concatenated((Stored("w"), Transposed(Stored("v")), Stored("w")), 0)
    assert joined.sources == ("w", "v")


MISFITS: dict[str, tuple[Expression, str]] = {
    "too few axes": (Transposed(Stored("w"), (1, 0)), "permutation of the 3 axes"),
    "axes twice": (Transposed(Stored("w"), (0, 0, 1)), "permutation"),
    "elements": (Reshaped(Stored("w"), (5, 5)), "24 elements"),
    "no divisor": (Reshaped(Stored("w"), (5, -1)), "24 elements"),
    "filled strings": (Filled(Stored("s"), 1), "got string, want a dtype of numbers"),
    "filled too small": (Filled(Stored("i"), 0.5), "int64 cannot hold 0.5"),
    "summed strings": (Summed((Stored("s"), Stored("s"))), "got string, want a dtype of numbers"),
    "summed shapes": (
        Summed((Stored("w"), Stored("0"))),
        r"sum of 'w' and '0': got float32\[\], want float32",
    ),
    "summed dtypes": (Summed((Stored("w"), Cast(Stored("w"), INT64))), r"got int64\[2, 3, 4\], want float32"),
    "unknown and zero": (Reshaped(Stored("e"), (0, -1)), "0 elements"),
    "huge": (Reshaped(Stored("e"), (0, 1 << 62)), "0 elements"),
    "many dimensions": (Reshaped(Stored("w"), (24, *[1] * 40)), "24 elements"),
    "string cast": (Cast(Stored("s"), BY_NAME["float32"]), "numbers or bool"),
    "cast to strings": (Cast(Stored("w"), BY_NAME["string"]), "numbers or bool"),
    "cast to quantised": (Cast(Stored("i"), BY_NAME["qint32"]), "numbers or bool"),
    "axis": (Part(Stored("w"), 3, 0, 2), "got axis 3"),
    "axis below": (Part(Stored("w"), -4, 0, 2), "got axis -4"),
    "scalar": (Part(Stored("0"), 0, 0, 1), "got axis 0"),
    "unequal": (Part(Stored("w"), 1, 0, 2), "divisor of 3"),
    "sizes": (Part(Stored("w"), 1, 0, 2, (0, 2, 4)), "add up to 4, want 3"),
    "dtypes": (Concatenated((Stored("i"), Reshaped(Stored("w"), (-1,))), 0), "float32"),
    "ranks": (Concatenated((Stored("w"), Reshaped(Stored("w"), (-1,))), 0), "a shape like"),
    "last axis of more": (
        Concatenated((Stored("w"), Reshaped(Stored("w"), (2, 12))), 2),
        r"got float32\[2, 12\], want float32 and a shape like \[2, 3, 4\]",
    ),
    "shapes": (Concatenated((Stored("w"), Transposed(Stored("w"))), 0), "a shape like"),
    "no axis": (Concatenated((Stored("w"), Stored("v")), 3), "got axis 3"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_misfits_are_errors_before_anything_is_read(case: str, tensors: Arrays) -> None:
    expression, message = MISFITS[case]
    for ask in (lambda: expression.spec(tensors.entries), lambda: tensors.value(expression)):
        with pytest.raises(PlanError, match=message):
            ask()
    assert tensors.fetched == []


def test_an_error_names_the_step_and_the_file(tensors: Arrays) -> None:
    expression = Transposed(Stored("w"), (0,), place=StepPlace("plan.toml", 3))
    with pytest.raises(PlanError, match=r"^plan\.toml: step 3: transpose of 'w': got axes \[0\]") as caught:
        expression.spec(tensors.entries)
    assert (caught.value.file, caught.value.step) == ("plan.toml", 3)


def test_too_many_operations_on_one_tensor_are_refused() -> None:
    def pile(expression: Expression) -> None:
        for _ in range(10_000):
            expression = Transposed(expression)

    with pytest.raises(PlanError, match=f"want at most {MAX_DEPTH}"):
        pile(Stored("w"))


def test_a_layout_that_many_parts_need_is_found_once() -> None:
    class Counted(dict[str, Entry]):
        asked = 0

        def __getitem__(self, name: str) -> Entry:
            self.asked += 1
            return super().__getitem__(name)

    array = np.arange(4, dtype=np.float32)
    entry = Entry("w", DTYPES[1], (4,), 16, 0, 0, 0, ())
    entries = Counted(w=entry)
    halves: Expression = Stored("w")
    for _ in range(15):
        halves = Concatenated((Part(halves, 0, 1, 2), Part(halves, 0, 0, 2)), 0)
    reading = Reading(lambda _, region: array if region is None else array[slice(*region[0])], entries)
    value = halves.value(reading)
    assert value.tolist() == [2, 3, 0, 1]  # the halves are exchanged an odd number of times
    assert entries.asked < 100


def test_repeated_splits_and_concats_are_refused_before_they_explode() -> None:
    def pile(expression: Expression) -> None:
        for _ in range(100):
            expression = Concatenated((Part(expression, 0, 0, 2), Part(expression, 0, 1, 2)), 0)

    with pytest.raises(PlanError, match=f"want at most {MAX_WEIGHT}"):
        pile(Stored("w"))
