"""Names that differ only in their numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.compare.alignment import aligned
from ckptfmt.compare.templates import Vocabulary, templates_of
from ckptfmt.compare.words import likeness


def members(*names: str) -> list[dict[str, tuple[int, ...]]]:
    return [template.members for template in templates_of(names, Vocabulary())]


def test_names_that_differ_in_numbers_have_one_template() -> None:
    assert members("layer_1/w", "layer_10/w", "layer_1/b") == [
        {"layer_1/w": (1,), "layer_10/w": (10,)},
        {"layer_1/b": (1,)},
    ]


def test_the_first_of_several_without_a_number_has_number_zero() -> None:
    assert members("dense_1/kernel", "dense/kernel", "dense_2/kernel") == [
        {"dense_1/kernel": (1,), "dense_2/kernel": (2,), "dense/kernel": (0,)}
    ]
    assert members("a/b", "a_1/b", "a/b_1/c", "a_1/b_1/c", "a_1/b/c") == [
        {"a_1/b": (1,), "a/b": (0,)},
        {"a_1/b_1/c": (1, 1), "a/b_1/c": (0, 1), "a_1/b/c": (1, 0)},
    ]


def test_an_optimizers_slots_are_not_counted() -> None:
    assert len(members("w/Adam", "w/Adam_1")) == 2


def test_numbers_that_differ_only_in_leading_zeros_get_templates_of_their_own() -> None:
    assert members("l_00", "l_01", "l_10") == [{"l_00": (0,), "l_01": (1,), "l_10": (10,)}]
    assert members("l_01", "l_1", "l_001") == [{"l_01": (1,)}, {"l_1": ()}, {"l_001": ()}]


def test_a_hash_sign_in_a_name_is_not_a_number() -> None:
    assert members("a#1", "a1#", "a11") == [{"a#1": ()}, {"a1#": ()}, {"a11": (11,)}]


@given(st.lists(st.text(alphabet="ab1290_/.#\u00e9\u0661A", max_size=12), unique=True))
def test_every_name_has_one_place_in_one_template(names: list[str]) -> None:
    templates = templates_of(names, Vocabulary())
    assert sorted(name for template in templates for name in template.members) == sorted(names)
    for template in templates:
        assert len({len(numbers) for numbers in template.members.values()}) == 1
        for other in templates:
            score = likeness(template.words, other.words)
            assert 0 <= score <= 1
            assert score == pytest.approx(likeness(other.words, template.words))
            pairs = aligned(template.members, other.members)
            assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
        assert likeness(template.words, template.words) == 1


def test_a_name_of_a_million_numbers_is_split_at_once() -> None:
    ((only,),) = (members("1/" * 1_000_000),)
    assert len(only["1/" * 1_000_000]) == 16
