"""Keys of too many parts are found before TOML is parsed."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from ckptfmt.errors import PlanError
from ckptfmt.plans.dotted_keys import find_deep_key
from ckptfmt.plans.plan import Plan

DEEP = [
    ".".join("a" * 9) + " = 1",
    " . ".join("a" * 9) + " = 1",
    "'a'." * 8 + "a = 1",
    '"a"."b" .' * 4 + "a = 1",
    '"\\".".' * 8 + "a = 1",
    f"[{'.'.join('a' * 9)}]",
    f"x = {{ {'.'.join('a' * 9)} = 1 }}",
    f"x = '''\n''' # it's\n{'.'.join('a' * 9)} = 1",
    f'x = """ \\""" \' """\n{".".join("a" * 9)} = 1',
]

SHALLOW = [
    f"'{'.'.join('a' * 9)}' = 1",
    f"\"{'.'.join('a' * 9)}\" = '{'.'.join('b' * 20)}'",
    f"x = '''\n{'.'.join('a' * 9)}\n'''",
    f'x = """\\"""{".".join("a" * 9)}"""',
    f"# {'.'.join('a' * 9)}",
    f"x = [{', '.join(['1.5'] * 100)}]",
    "a.b = 1\n" * 10,
]


@pytest.mark.parametrize("text", DEEP)
def test_a_deep_key_is_found(text: str) -> None:
    assert find_deep_key("version = 1\n" + text) == 2 + text.count("\n")


@pytest.mark.parametrize("text", SHALLOW)
def test_dots_elsewhere_are_not_keys(text: str) -> None:
    assert find_deep_key(text) is None


def test_a_plan_of_deep_keys_takes_no_memory() -> None:
    text = "version = 1\n" + "a." * 40_000 + "a = 1"
    tracemalloc.start()
    try:
        with pytest.raises(PlanError, match="a key on line 2 has more than 8 parts"):
            Plan.parse(text, "p.toml")
        assert tracemalloc.get_traced_memory()[1] < 40 * len(text)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", ["'", '"', "a", ".", "\\", '"\\', "'''", '"""', '"""\\', "#", "a.\n"])
def test_the_search_takes_linear_time(text: str) -> None:
    def seconds(count: int) -> float:
        start = time.process_time()
        find_deep_key(text * count)
        return time.process_time() - start

    seconds(1000)
    assert min(seconds(40_000) for _ in range(3)) < 20 * min(seconds(10_000) for _ in range(3)) + 0.05
