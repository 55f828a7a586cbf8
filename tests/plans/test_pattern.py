"""Patterns that are looked up or searched for, and templates."""

from __future__ import annotations

import re

import numpy as np
import pytest

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
