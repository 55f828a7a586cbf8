"""Indices as text; malformed ones are tested in ``test_show.py``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.cli.slice_option import Index, index_text, parse_index

NUMBERS = st.integers(-(10**18), 10**18)
ENDS = st.none() | NUMBERS
SLICES = st.builds(slice, ENDS, ENDS, st.none() | NUMBERS.filter(bool))
INDICES = st.lists(NUMBERS | SLICES | st.just(...), min_size=1).map(tuple)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("0:4,:", (slice(0, 4), slice(None))),
        (" -1 ", (-1,)),
        ("[::2, ..., 3]", (slice(None, None, 2), Ellipsis, 3)),
        ("5:1:-2,", (slice(5, 1, -2),)),
    ],
)
def test_indices_are_those_of_numpy(text: str, index: object) -> None:
    assert parse_index(text) == index


@given(INDICES)
def test_the_text_of_an_index_parses_to_the_index(index: Index) -> None:
    assert parse_index(index_text(index)) == index
