"""Patterns that are looked up or searched for, and templates."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from ckptfmt.errors import LimitError, PlanError, UnsupportedError
from ckptfmt.limits import Limits
from ckptfmt.plans.pattern import Pattern, exact_pattern
from tests.support.arrays import Arrays
from tests.support.plans import plan, step


@pytest.mark.parametrize(
    "name", ["a", "a.b", "a$", "^", "\\", "a\\d", "a b-c/d:0", "x\ny", "[(", "", "é", "a\n"]
)
def test_the_exact_pattern_of_a_name_is_looked_up(name: str) -> None:
    assert Pattern(exact_pattern(name)).literal == name
    assert re.compile(exact_pattern(name)).search(name)


@pytest.mark.parametrize(
    "text", ["a", "^a", "a$", "^a.$", "^a|b$", r"^\d$", r"^a\$", "^(a)$", "^$x$", "", "^", "$"]
)
def test_other_patterns_are_searched_for(text: str) -> None:
    assert Pattern(text).literal is None


def test_a_literal_pattern_takes_a_replacement_with_the_whole_match(tensors: Arrays) -> None:
    names = plan(step("rename = '^label$'", r"to = 'old/\g<0>'")).targets(tensors.entries)
    assert "old/label" in names


@pytest.mark.parametrize(
    "template",
    [r"\1", r"a\1b", r"<\2|\1>", r"\3\1\1", r"x\g<1>y", r"\10", r"\\1", r"\n\1", "plain", ""],
)
def test_replacements_are_those_of_re(template: str) -> None:
    regex = "(a+)(b)?((((((((c))))))))?"
    names = ["aab/ab", "a", "abc-acc", "zzz"]
    made = plan(step(f"rename = '{regex}'", f"to = '{template}x'"))
    got = list(made.targets(Arrays(dict.fromkeys(names, np.zeros(1))).entries))
    assert got == [re.sub(regex, template + "x", name) for name in names]


# --- patterns that could hang ------------------------------------------------------------------------------

HOSTILE = ["a" * 40 + "b", "a" * 3000 + "b", "aaa"]


@pytest.fixture
def without_re2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)


def test_an_exponential_pattern_takes_linear_time_with_re2() -> None:
    pytest.importorskip("re2")
    pattern = Pattern("(a+)+$")
    assert pattern.check() is None
    assert list(pattern.found_in(HOSTILE)) == ["aaa"]
    assert pattern.replacements(HOSTILE, r"<\1>") == {"aaa": "<aaa>"}
    assert list(Pattern("((?:a+)+)(b)?").expansions(["aab"], [r"\2\1", r"\g<0>"])) == [
        ("aab", ["baa", "aab"])
    ]


def test_an_exponential_pattern_is_refused_without_re2(without_re2: None) -> None:
    with pytest.raises(PlanError, match=r"exponential time: .*pip install 'ckptfmt\[patterns\]'"):
        plan(step("drop = '(a+)+$'"))


def test_an_exponential_pattern_that_re2_refuses_is_refused() -> None:
    pytest.importorskip("re2")
    with pytest.raises(PlanError, match=r"exponential time: .*google-re2 cannot take its place"):
        plan(step("drop = '(a|ab)+(?=c)'"))


def test_a_slow_pattern_is_refused_for_a_long_name(without_re2: None) -> None:
    pattern = Pattern(".*.*.*.*=")
    assert pattern.check() is None
    assert list(pattern.found_in(["a=b"])) == ["a=b"]
    with pytest.raises(LimitError, match="a name of 3001 characters") as raised:
        list(pattern.found_in(HOSTILE))
    assert raised.value.asked > raised.value.limit


def test_a_slow_pattern_stops_after_a_time() -> None:
    names = [f"{number}{'a' * 150}" for number in range(50)]
    with pytest.raises(LimitError, match=r"seconds to search for .* in 50 names"):
        Pattern("[0-9a]*a*a*b", Limits(max_seconds=0)).replacements(names, "c")


def test_patterns_are_those_of_re_if_their_work_is_bounded() -> None:
    """A plan means the same whether google-re2 is installed or not."""
    names = ["layer_\u0661/w", "layer_1/w"]  # an Arabic digit, which \d of re matches
    assert list(Pattern(r"(.*)_(\d+)/(.*)").found_in(names)) == names


def test_a_name_that_is_not_utf8_is_refused_by_re2() -> None:
    pytest.importorskip("re2")
    with pytest.raises(UnsupportedError, match="UTF-8"):
        list(Pattern("(a+)+$").found_in(["a\udc80"]))


def test_an_ambiguous_pattern_is_refused() -> None:
    with pytest.raises(PlanError, match="ambiguous: Possible nested set"):
        plan(step("drop = '[[a]'"))
