"""Names that differ only by a number."""

from __future__ import annotations

from ckptfmt.cli.collapse import collapse


def test_the_number_with_the_most_members_collapses() -> None:
    items = [(f"stage_{i}/block_{j}/w", 0) for i in range(2) for j in range(3)]
    assert collapse(items) == [("stage_0/block_#/w", [0, 1, 2]), ("stage_1/block_#/w", [3, 4, 5])]


def test_a_name_unlike_all_others_keeps_its_number() -> None:
    assert collapse([("a_1", 0), ("a_2", 1), ("b", 0)]) == [("a_1", [0]), ("a_2", [1]), ("b", [2])]


def test_a_name_of_a_million_numbers_takes_no_time() -> None:
    name = "1." * 500_000
    assert collapse([(name, 0)]) == [(name, [0])]
