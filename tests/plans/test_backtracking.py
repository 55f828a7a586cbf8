"""How much work a regular expression can be."""

from __future__ import annotations

import re
import time

import pytest

from ckptfmt.plans.backtracking import search_work

EXPONENTIAL = [
    r"(a+)+$",
    r"(a*)*b",
    r"(a|a)*b",
    r"(a|ab)+c",
    r"(x+x+)+y",
    r"(?:a?){30}a{30}",
    r"((a{1,100}){1,100})x",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"(.*)*x",
    r"(?i:(?:[a-z]+B)+)c",
    r"(?=(a+)+b)x",
    r"(a+)(?(1)(b+)+|c)d",
]
"""Patterns whose work is exponential, most of them examples in articles about such patterns."""

POLYNOMIAL = [
    (r"^bert/encoder/layer_(\d+)/", 0),
    (r"/Adam(_1)?$", 0),
    (r"(?:kernel|bias)$", 0),
    (r"^(.*)/qkv$", 1),
    (r"(.*)/layer_(\d+)/(.*)", 1),
    (r"^(.*)/(.*)/(.*)$", 2),
    (r"(?:[^/]+/)*kernel", 1),
    (r"^((?:[^/]+/)+)layer_norm/(gamma|beta)$", 1),
    (r"(?i)a+A", 1),
    (r"a+A", 0),
    (r"(?s).+\n", 1),
    (r".+\n", 0),
    (r"[^a]+é", 1),
    (r"(\w+)_\1", 2),
    (r"(?<!/)kernel(?!_)", 0),
    (r".*.*.*.*=", 4),
]


@pytest.mark.parametrize("pattern", EXPONENTIAL)
def test_exponential(pattern: str) -> None:
    re.compile(pattern)
    assert search_work(pattern).is_exponential


@pytest.mark.parametrize(("pattern", "choices"), POLYNOMIAL)
def test_polynomial(pattern: str, choices: int) -> None:
    re.compile(pattern)
    assert search_work(pattern).choices == choices


def test_the_bound_grows_as_the_time_does() -> None:
    """What ``re`` takes for the worst name of twice the length grows no faster than the bound."""
    work = search_work(r"a*a*a*b")

    def seconds(length: int) -> float:
        name = "a" * length
        times = []
        for _ in range(3):
            start = time.process_time()
            re.search(r"a*a*a*b", name)
            times.append(time.process_time() - start)
        return min(times)

    ratio = seconds(160) / seconds(80)
    assert ratio < 2 * work.steps(160) / work.steps(80)
    assert work.steps(160) / work.steps(80) == pytest.approx(2**4, rel=0.1)


def test_anchors_leave_one_beginning() -> None:
    assert search_work(r"^a+b").steps(100) * 101 == search_work(r"a+b").steps(100)
    assert not search_work(r"(?m)^a+b").is_anchored
