"""Advice: it names what exists, and every kind that is read here has some."""

from __future__ import annotations

import re

import pytest

import ckptfmt
from ckptfmt.cli.app import VERBS
from ckptfmt.filetype import kinds
from ckptfmt.filetype.advice import ADVICE
from ckptfmt.filetype.kinds import Kind

KINDS = {name: value for name, value in vars(kinds).items() if isinstance(value, Kind)}


@pytest.mark.parametrize("advice", sorted(set(ADVICE.values())))
def test_every_function_and_verb_in_it_exists(advice: str) -> None:
    assert set(re.findall(r"\bckptfmt\.(\w+)", advice)) <= set(ckptfmt.__all__)
    assert set(re.findall(r"'ckptfmt (\w+)", advice)) <= set(VERBS)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_that_is_read_here_has_advice(name: str) -> None:
    kind = KINDS[name]
    if kind.holds is not None:
        assert "ckptfmt." in ADVICE[kind]
        assert "'ckptfmt " in ADVICE[kind]


def test_no_two_kinds_are_equal() -> None:
    # They are the keys of a table.
    assert len(set(KINDS.values())) == len(KINDS)
