"""Near names: what is suggested, and how few names are compared for it."""

from __future__ import annotations

import difflib
import random
from typing import Any

import pytest

from ckptfmt.text.closest import closest_names, did_you_mean

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"

NAMES = ["encoder/dense/kernel", "encoder/dense/bias", "decoder/dense/kernel", "global_step"]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("encoder/dense/kernal", "encoder/dense/kernel"),
        ("encoder/dens/bias", "encoder/dense/bias"),
        ("ecnoder/dense/kernel", "encoder/dense/kernel"),
        ("globalstep", "global_step"),
        ("Global_Step", "global_step"),
        ("bias", "encoder/dense/bias"),
        ("dense/bias", "encoder/dense/bias"),
        ("encoder/dense", "encoder/dense/kernel"),
        ("decoder", "decoder/dense/kernel"),
    ],
)
def test_a_typo_and_a_missing_scope_are_found(name: str, first: str) -> None:
    assert closest_names(name, NAMES)[0] == first
    assert closest_names(name, iter(NAMES), count=1) == [first]


def test_names_with_that_end_come_before_similar_names() -> None:
    assert closest_names("dense/kernel", NAMES) == ["encoder/dense/kernel", "decoder/dense/kernel"]


@pytest.mark.parametrize("name", ["", "xyz", "a" * 501, "encoder/dense/kernel" * 100])
def test_nothing_is_suggested_for_a_name_like_no_other(name: str) -> None:
    assert closest_names(name, NAMES) == []
    assert closest_names(name, []) == []


def test_a_suffix_says_nothing_about_a_name() -> None:
    names = [f"{name}{SUFFIX}" for name in NAMES]
    assert closest_names("xyz" + SUFFIX, names) != []
    assert closest_names("xyz" + SUFFIX, names, ending=SUFFIX) == []
    for name in ("global_stp", "global_stp" + SUFFIX):
        assert closest_names(name, names, ending=SUFFIX) == ["global_step" + SUFFIX]
    assert closest_names("bias", names, ending=SUFFIX) == ["encoder/dense/bias" + SUFFIX]


def test_no_more_names_are_suggested_than_asked_for() -> None:
    names = [f"layer_{number}" for number in range(10)]
    assert len(closest_names("layer_x", names)) == 3
    assert len(closest_names("layer_x", names, count=5)) == 5
    assert len(closest_names("w", [f"layer_{number}/w" for number in range(10)], count=2)) == 2


MANY = [
    f"scope_{number % 100}/block_{number:05}/{leaf}"
    for number in range(20_000)
    for leaf in ("kernel", "bias")
]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many names each call of difflib compares."""
    counts: list[int] = []
    get_close_matches = difflib.get_close_matches

    def count(name: str, names: Any, **options: Any) -> list[str]:
        counts.append(len(names))
        return get_close_matches(name, names, **options)

    monkeypatch.setattr(difflib, "get_close_matches", count)
    return counts


@pytest.mark.parametrize("ending", ["", SUFFIX])
@pytest.mark.parametrize(
    "name",
    [
        "scope_77/block_12377/kernal",
        "scope_77/block_12377/kerne",
        "scope_77/block_1237/kernel",
        "scope_77/blok_12377/kernel",
        "socpe_77/block_12377/kernel",
        "cope_77/block_12377/kernel",
        "block_12377/kernel",
    ],
)
def test_a_typo_is_found_among_many_names_with_few_comparisons(
    compared: list[int], name: str, ending: str
) -> None:
    names = [each + ending for each in MANY]
    assert "scope_77/block_12377/kernel" + ending in closest_names(name, names, ending=ending)
    assert sum(compared) <= 1000


def test_a_thousand_names_are_all_compared(compared: list[int]) -> None:
    names = [f"{number:04}" for number in range(1000)]
    assert closest_names("0999x", names)[0] == "0999"
    assert compared == [1000]


def test_long_names_are_not_compared(compared: list[int]) -> None:
    names = ["a" * 1001, "b" * 400]
    assert closest_names("b" * 399, names) == ["b" * 400]
    assert compared == [1]


MANY_NAMES = [
    f"model/layer_{layer}/{part}/{variable}{SUFFIX}"
    for layer in range(1500)
    for part in ("attention", "dense")
    for variable in ("kernel", "bias")
]


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("model/layer_1234/dense/kernel", "model/layer_1234/dense/kernel"),
        ("layer_1234/dense/kernel", "model/layer_1234/dense/kernel"),
        ("model/layer_1234/dense/kernal", "model/layer_1234/dense/kernel"),
        (f"model/layer_1234/dense/kernal{SUFFIX}", "model/layer_1234/dense/kernel"),
        ("model/layer_1234/dens/kernel", "model/layer_1234/dense/kernel"),
        ("model/layr_1234/dense/kernel", "model/layer_1234/dense/kernel"),
        ("modle/layer_1234/dense/kernel", "model/layer_1234/dense/kernel"),
        ("my_model/layer_1234/dense/kernel", "model/layer_1234/dense/kernel"),
        ("model/layer_1234/dense", None),
        ("zzz", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("shuffled", [False, True])
def test_among_many_names_the_one_meant_is_found(wrong: str, meant: str | None, shuffled: bool) -> None:
    names = random.Random(0).sample(MANY_NAMES, len(MANY_NAMES)) if shuffled else sorted(MANY_NAMES)
    close = closest_names(wrong, names, ending=SUFFIX)
    assert len(close) <= 3
    assert meant is None or close[0] == meant + SUFFIX


def test_few_of_a_million_names_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(difflib, "get_close_matches", lambda _, names, n: compared.append(len(names)) or [])
    names = [f"model/part_{i:06}/kernel" for i in range(1_000_000)]
    for wrong in ("model/part_x00000/kernel", "modle/part_77/kernel", "model/part", "zzz"):
        assert closest_names(wrong, names, ending=SUFFIX) == []
    assert 0 < max(compared) <= 800
    assert closest_names("part_999999/kernel", iter(names), ending=SUFFIX) == ["model/part_999999/kernel"]


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a"], "; did you mean 'a'?"), (["a", "b'"], "; did you mean 'a' or \"b'\"?")],
    ids=len,
)
def test_a_suggestion_ends_a_message(names: list[str], text: str) -> None:
    assert did_you_mean(names) == text


def test_names_below_a_scope_are_found_among_many() -> None:
    names = [f"block_{number}/kernel" for number in range(5_000)] + ["notes/text_summary"]
    assert closest_names("notes", names) == ["notes/text_summary"]
    assert closest_names("block_17", names) == ["block_17/kernel"]
