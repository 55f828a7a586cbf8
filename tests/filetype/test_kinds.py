"""The table of kinds: advice in it names what exists, and every kind that is read here has some."""

from __future__ import annotations

import re

import pytest

import ckptfmt
from ckptfmt.cli.app import VERBS
from ckptfmt.filetype.kinds import KINDS, Kind

EACH_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)


@pytest.mark.parametrize("advice", sorted({kind.reader for kind in KINDS}))
def test_every_function_and_verb_in_it_exists(advice: str) -> None:
    assert set(re.findall(r"\bckptfmt\.(\w+)", advice)) <= set(ckptfmt.__all__)
    assert set(re.findall(r"'ckptfmt (\w+)", advice)) <= set(VERBS)


@EACH_KIND
def test_every_kind_that_is_read_here_has_advice(kind: Kind) -> None:
    if kind.holds is not None:
        assert "ckptfmt." in kind.reader
        assert "'ckptfmt " in kind.reader


@EACH_KIND
def test_every_kind_has_an_article_and_a_name_of_its_own(kind: Kind) -> None:
    assert re.match(r"an? |the |weights |arrays |parameters |statistics ", kind.what)
    assert [each for each in KINDS if each.what == kind.what] == [kind]
