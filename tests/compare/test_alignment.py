"""Which numbers of two templates correspond."""

from __future__ import annotations

import pytest

from ckptfmt.compare.alignment import aligned


def numbered(*numbers: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{'.'.join(map(str, each))}": each for each in numbers}


@pytest.mark.parametrize(
    ("wanted", "stored", "pairs"),
    [
        ([(3,), (4,)], [(1,), (2,), (3,), (4,)], [((3,), (3,)), ((4,), (4,))]),
        ([(0,), (1,)], [(1,), (2,)], [((0,), (1,)), ((1,), (2,))]),
        ([(2, 0), (2, 1)], [(0,), (1,)], [((2, 0), (0,)), ((2, 1), (1,))]),
        ([(0, 0), (0, 1), (1, 0)], [(1,), (2,), (3,)], [((0, 0), (1,)), ((0, 1), (2,)), ((1, 0), (3,))]),
        ([(10,), (9,)], [(1,), (2,)], [((9,), (1,)), ((10,), (2,))]),
        ([(0,), (1,), (5,)], [(1,), (3,)], [((0,), (1,)), ((1,), (3,))]),
        ([(0,)], [(1, 1), (2, 2)], []),
    ],
    ids=["same numbers", "ranks", "constant", "order", "as numbers", "one too many", "nothing to go by"],
)
def test_numbers_correspond(
    wanted: list[tuple[int, ...]],
    stored: list[tuple[int, ...]],
    pairs: list[tuple[tuple[int, ...], tuple[int, ...]]],
) -> None:
    a, b = numbered(*wanted), numbered(*stored)
    assert sorted((a[name], b[other]) for name, other in aligned(a, b)) == sorted(pairs)
