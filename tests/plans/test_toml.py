"""The text of plans: it reads back as it was written, and errors say what is wrong with it."""

from __future__ import annotations

import importlib

import pytest

from ckptfmt import Plan
from ckptfmt.errors import MissingDependencyError, PlanError
from ckptfmt.plans.pattern import Pattern
from ckptfmt.plans.steps import Rename, RenameTable
from tests.support.plans import plan, step

NO_PLANS = {
    "no toml": ("version = = 1", "not TOML: "),
    "deep": ("version = " + "[" * 100_000, "not TOML: "),
    "huge number": ("version = " + "1" * 10_000, "not TOML: |version: got 1111"),
    "no version": ("", "version: got none, want 1"),
    "other version": ("version = 2", "version: got 2, want 1"),
    "version true": ("version = true", "version: got True, want 1"),
    "top key": ("version = 1\nstpe = 1", "unknown key 'stpe'; did you mean 'step'"),
    "rest": (
        "version = 1\nrest = 'kep'",
        "rest: got 'kep', want 'keep', 'drop' or 'error'; did you mean 'keep'",
    ),
    "rest list": ("version = 1\nrest = []", r"rest: got \[\], want"),
    "general": ("version = 1\ngeneral = 1", "general: got 1, want true or false"),
    "include": (
        "version = 1\ninclude = 'keras-toch'",
        "include: got 'keras-toch', want .*mean 'keras-torch'",
    ),
    "about text": ("version = 1\nabout = 'x'", r"about: got 'x', want a table, headed \[about\]"),
    "about key": ("version = 1\n[about]\ntitel = 'x'", "unknown key 'titel'; did you mean 'title'"),
    "about type": ("version = 1\n[about]\ntitle = 1", "about: title: got 1, want a string"),
    "about notes": ("version = 1\n[about]\nnotes = 'x'", "about: notes: got 'x', want a list of strings"),
    "step table": ("version = 1\n[step]\ndrop = 'a'", r"step: got .*, want tables, each headed \[\[step\]\]"),
}


@pytest.mark.parametrize("case", NO_PLANS)
def test_texts_that_are_not_plans_are_refused(case: str) -> None:
    text, message = NO_PLANS[case]
    with pytest.raises(PlanError, match=message) as caught:
        Plan.parse(text, "p.toml")
    assert str(caught.value).startswith("p.toml: ")


NO_STEPS = {
    "empty": ("", "verb: got none, want exactly one of 'rename', 'drop'"),
    "no verb": ("to = 'a'", r"verb: got the keys \['to'\], want exactly one of"),
    "two verbs": ("drop = 'a'\ncast = 'b'", "verb: got 'drop' and 'cast', want exactly one of"),
    "verb mistyped": ("transpos = 'a'", "unknown key 'transpos'; did you mean 'transpose'"),
    "key mistyped": ("transpose = 'a'\naxis = [0]", "unknown key 'axis'; did you mean 'axes'"),
    "key of another": ("drop = 'a'\nto = 'b'", "unknown key 'to'; drop has 'drop'"),
    "rename without to": ("rename = 'a'", "rename: the key 'to' is missing"),
    "table with to": ("to = 'a'\n[step.rename]\na = 'b'", "unknown key 'to'"),
    "table of numbers": ("[step.rename]\na = 1", "rename.'a': got 1, want a string"),
    "dotted name": ("[step.rename]\na.b = 'c'", "quote names that have dots"),
    "wrong type": ("drop = 1", "drop: got 1, want a string"),
    "regex": ("drop = '('", r"'\(' is not a regular expression"),
    "deep regex": ("drop = '" + "(" * 20_000 + "'", "is not a regular expression"),
    "huge repeat": ("drop = 'a{99999999999999999999}'", "is not a regular expression"),
    "template group": (r"rename = 'a'" + "\n" + r"to = '\1'", r"is not a replacement for 'a': invalid group reference"),  # noqa: E501
    "template name": (r"rename = '^a$'" + "\n" + r"to = '\g<n>'", "is not a replacement for"),
    "axes twice": ("transpose = 'a'\naxes = [0, 0]", r"axes: got \[0, 0\], want a permutation of 0 to 1"),
    "axes twice from the end": ("transpose = 'a'\naxes = [-1, 1]", "want a permutation"),
    "axes beyond": ("transpose = 'a'\naxes = [-3, 0]", "want a permutation"),
    "axes floats": ("transpose = 'a'\naxes = [0.0]", "want a list of integers"),
    "axes bools": ("transpose = 'a'\naxes = [false]", "want a list of integers"),
    "two unknown": ("reshape = 'a'\nshape = [-1, -1]", "one of them -1 at most"),
    "below -1": ("reshape = 'a'\nshape = [-2]", "one of them -1 at most"),
    "no shape": ("reshape = 'a'", "reshape: the key 'shape' is missing"),
    "dtype": ("cast = 'a'\ndtype = 'flaot32'", "got 'flaot32', want the name of a dtype.*did you mean 'float32'"),  # noqa: E501
    "dtype string": ("cast = 'a'\ndtype = 'string'", "got 'string', want one of numbers or bool"),
    "split without into": ("split = 'a'\naxis = 0", "split: the key 'into' is missing"),
    "split into nothing": ("split = 'a'\ninto = []\naxis = 0", "into: got no names"),
    "split without axis": ("split = 'a'\ninto = ['b']", "split: the key 'axis' is missing"),
    "sizes": ("split = 'a'\ninto = ['b', 'c']\naxis = 0\nsizes = [1]", "sizes: got 1, want 2"),
    "size below 0": ("split = 'a'\ninto = ['b', 'c']\naxis = 0\nsizes = [-2, 2]", "want none below 0"),
    "split template": ("split = 'a'\ninto = ['\\2']\naxis = 0", "is not a replacement"),
    "two rests": ("split = 'a'\ninto = ['b', 'c']\naxis = 0\nsizes = [-1, -1]", "except one -1 for the rest"),
    "size": ("reshape = 'a'\nshape = ['a+b']", "shape: got 'a.b', want a number, a name or a product"),
    "size float": ("reshape = 'a'\nshape = [0.5]", "want a list of integers and of names"),
    "size unknown": ("reshape = 'a'\nshape = ['h']", "no size is called 'h'; shaped gives names to sizes"),
    "size not shaped": (
        "reshape = 'a'\nshaped = ['w', 'i']\nshape = ['h']",
        "no size is called 'h'; the names of shaped are w, i",
    ),
    "shaped": ("drop = 'a'\nshaped = ['a*b', 'a']", "shaped: 'a.b' needs a and b as sizes of their own"),
    "shaped square": ("drop = 'a'\nshaped = ['a*a']", "shaped: 'a.a' needs a as sizes of their own"),
    "shaped below 0": ("drop = 'a'\nshaped = [-1]", "shaped: got -1, want a size or a name"),
    "shaped long": (f"drop = 'a'\nshaped = ['{'a*' * 100}a']", "shaped: got 'a"),
    "beside": ("drop = 'a'\nbeside = '\\1'", "is not a replacement for 'a'"),
    "table with condition": ("beside = 'a'\n[step.rename]\na = 'b'", "unknown key 'beside'"),
    "fill nothing": ("fill = 'a'\ninto = 'b'", "fill: the key 'value' is missing"),
    "fill text": ("fill = 'a'\ninto = 'b'\nvalue = '1'", "value: got '1', want a number"),
    "fill true": ("fill = 'a'\ninto = 'b'\nvalue = true", "value: got True, want a number"),
    "fill too large": ("fill = 'a'\ninto = 'b'\nvalue = 300\ndtype = 'uint8'", "uint8 cannot hold 300"),
    "fill fraction": ("fill = 'a'\ninto = 'b'\nvalue = 0.5\ndtype = 'int64'", "int64 cannot hold 0.5"),
    "fill string": ("fill = 'a'\ninto = 'b'\nvalue = 1\ndtype = 'string'", "want one of numbers or bool"),
    "fill shape": ("fill = 'a'\ninto = 'b'\nvalue = 1\nshape = [-1]", "want at most 32 sizes"),
    "sum nothing": ("sum = []\ninto = 'b'", "sum: got no patterns"),
    "refuse without reason": ("refuse = 'a'", "refuse: the key 'because' is missing"),
    "concat number": ("concat = 1\ninto = 'b'\naxis = 0", "concat: got 1, want a list of strings"),
    "concat nothing": ("concat = []\ninto = 'b'\naxis = 0", "concat: got no patterns"),
    "concat template": ("concat = ['(a)', 'b']\ninto = '\\1'\naxis = 0", "is not a replacement for 'b'"),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_STEPS)
def test_steps_that_make_no_sense_are_refused(case: str) -> None:
    text, message = NO_STEPS[case]
    with pytest.raises(PlanError, match=message) as caught:
        plan(step("drop = 'fine'"), step(text), file="p.toml")
    assert str(caught.value).startswith("p.toml: step 2: ")
    assert (caught.value.file, caught.value.step) == ("p.toml", 2)


def test_without_a_toml_reader_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingDependencyError, match=r"tomli: pip install 'ckptfmt\[plans\]'"):
        Plan.parse("version = 1")


def test_comments_are_written_but_not_read() -> None:
    table = RenameTable({"a": "b", "c": "d"}, {"a": "same\nshape\x7f"}, "proposed\nby match")
    made = Plan((table, Rename(Pattern("x"), "y", "\x1b[2J\udc80")), comment="missing: z")
    text = made.to_toml()
    assert "# proposed\n# by match\n[[step]]\n[step.rename]\n" in text
    assert '"a" = "b"  # same shape\\x7f\n"c" = "d"\n' in text
    assert text.endswith("\n# missing: z\n")
    assert Plan.parse(text) == made


def test_names_that_are_not_utf8_cannot_be_written() -> None:
    made = Plan((RenameTable({"fine": "a\udcff", "also fine": "b"}),))
    with pytest.raises(PlanError, match=r"not UTF-8 cannot be written: 'a\\udcff'$"):
        made.to_toml()


@pytest.mark.parametrize(
    "text",
    [
        "version = BIG",
        "version = 1\nrest = BIG",
        "version = 1\nrest" + ".a" * 3000 + " = 1",
        "version = 1\n[[step]]\ntranspose = 'k'\naxes = [BIG]",
        "version = 1\n[[step]]\nreshape = 'k'\nshape = [BIG]",
        "version = 1\n[[step]]\nsplit = 'k'\ninto = ['a']\naxis = BIG",
        "version = 1\n[[step]]\nsplit = 'k'\ninto = ['a']\naxis = 0\nsizes = [BIG]",
        "version = 1\n[[step]]\nrename = 'a{" + "9" * 5000 + "}'\nto = ''",
        "version = 1\n[[step]]\nrename" + ".a" * 3000 + " = 1",
    ],
    ids=range(9),
)
def test_huge_numbers_and_deep_tables_are_plan_errors(text: str) -> None:
    with pytest.raises(PlanError):
        Plan.parse(text.replace("BIG", "0x" + "f" * 6000))
