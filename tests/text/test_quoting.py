"""Names and texts in messages."""

from __future__ import annotations

import pytest

from ckptfmt.text.quoting import listed, shortened


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "'a'"),
        (["a", "b'"], "'a', \"b'\""),
        (["a\n"], r"'a\n'"),
        (list("abcde"), "'a', 'b', 'c', 'd', 'e'"),
        (list("abcdef"), "'a', 'b', 'c', 'd', 'e' and 1 more"),
        (["x"] * 12_345, "'x', 'x', 'x', 'x', 'x' and 12,340 more"),
    ],
    ids=len,
)
def test_the_first_few_names_are_listed(names: list[str], text: str) -> None:
    assert listed(names) == text
    assert listed(dict.fromkeys(names)) == text or len(set(names)) < len(names)


def test_callers_choose_how_many_names_and_how_they_are_quoted() -> None:
    assert listed(["a", "b", "c"], 2) == "'a', 'b' and 1 more"
    assert listed(["a", "b", "c"], 2, quote=str.upper) == "A, B and 1 more"


def test_only_texts_that_are_too_long_are_shortened() -> None:
    assert shortened("a" * 300) == "a" * 300
    long = "a" * 1000 + "z" * 1000
    assert shortened(long) == f"{'a' * 150} … {'z' * 150} (2000 characters)"
    assert shortened("abcdefghij", 4) == "ab … ij (10 characters)"
    assert shortened("", 4) == ""
