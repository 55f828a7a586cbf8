"""Patterns over names."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.text.patterns import literal_prefixes, matcher

NAMES = ["w", "layer/w", "layer/w_1", "layer/b", "layer[0]/w", "layer0/w", "a\nb", ".hidden", "ünï"]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["*"], NAMES),
        (["layer/*"], ["layer/w", "layer/w_1", "layer/b"]),
        (["*w"], ["w", "layer/w", "layer[0]/w", "layer0/w"]),
        (["layer?/w"], ["layer0/w"]),
        (["layer/[bw]"], ["layer/w", "layer/b"]),
        (["layer/[!b]"], ["layer/w"]),
        (["layer[0]/w"], ["layer[0]/w", "layer0/w"]),
        (["W"], []),
        (["w", "a*b"], ["w", "a\nb"]),
        ([re.compile("_1$")], ["layer/w_1"]),
        ([re.compile("_1$"), "w", re.compile("^layer0")], ["w", "layer/w_1", "layer0/w"]),
        ([re.compile("LAYER0", re.IGNORECASE)], ["layer0/w"]),
        ([], []),
    ],
    ids=repr,
)
def test_a_name_matches_any_pattern_as_a_whole(patterns: list[Any], names: list[str]) -> None:
    assert list(filter(matcher(patterns), NAMES)) == names
    assert list(filter(matcher(iter(patterns)), NAMES)) == names


@pytest.mark.parametrize("pattern", [1, None, b"w"])
def test_what_is_not_a_pattern_is_refused(pattern: Any) -> None:
    with pytest.raises(TypeError, match=r"^pattern: got .*, want a glob or what re\.compile returns$"):
        matcher([pattern])


@pytest.mark.parametrize("patterns", [("w",), ["w", "b"], {"w"}])
def test_several_patterns_are_several_arguments(patterns: Any) -> None:
    with pytest.raises(TypeError, match=r"returns; pass each as an argument of its own: \*names$"):
        matcher([patterns])


def test_very_many_patterns_are_one_test() -> None:
    test = matcher(f"layer{number}/*" for number in range(2000))
    assert test("layer1999/w")
    assert not test("layer2000/w")


def test_names_are_looked_up_however_many_there_are() -> None:
    names = [f"layer_{number}/w" for number in range(50_000)]
    assert len(list(filter(matcher(names), names))) == 50_000


@pytest.mark.parametrize(
    ("patterns", "prefixes"),
    [
        (["layer/w"], ["layer/w"]),
        (["layer/*"], ["layer/"]),
        (["layer[0]/w"], ["layer"]),
        (["a?", "b*", "ab"], ["a", "b"]),
        (["b*", "a*", "a/b*"], ["a", "b"]),
        (["*w", "a*"], [""]),
        ([re.compile("^a"), "b*"], [""]),
        ([], [""]),
    ],
    ids=repr,
)
def test_prefixes_are_what_comes_before_the_first_wildcard(patterns: list[Any], prefixes: list[str]) -> None:
    assert literal_prefixes(patterns) == prefixes


TEXT = st.text("ab/[]*?!", max_size=6)


@given(st.lists(TEXT, min_size=1, max_size=4), TEXT)
def test_a_matcher_is_fnmatch_or_equality_and_prefixes_miss_nothing(patterns: list[str], name: str) -> None:
    expected = any(fnmatch.fnmatchcase(name, pattern) or name == pattern for pattern in patterns)
    assert bool(matcher(patterns)(name)) == expected
    prefixes = literal_prefixes(patterns)
    assert prefixes == sorted(prefixes)
    if expected:
        assert sum(name.startswith(prefix) for prefix in prefixes) == 1
