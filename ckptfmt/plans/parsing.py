"""Plans parsed from TOML; :mod:`ckptfmt.plans.plan_text` shows the form."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, TypeGuard, TypeVar, get_args

from ckptfmt.dtypes import BY_NAME, DType
from ckptfmt.errors import MissingDependencyError, PlanError
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.plans.about import About
from ckptfmt.plans.dotted_keys import MAX_PARTS, find_deep_key
from ckptfmt.plans.parts import Concat, Split
from ckptfmt.plans.pattern import Pattern
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.plan_text import VERSION, PlanText
from ckptfmt.plans.removals import Drop, Refuse
from ckptfmt.plans.shipped_files import read_shipped, shipped_names
from ckptfmt.plans.sizes import ShapePattern, Size
from ckptfmt.plans.state import Rest
from ckptfmt.plans.step import Step
from ckptfmt.plans.steps import STEPS, CastTo, Rename, RenameTable, Reshape, Transpose
from ckptfmt.plans.values import Fill, Sum
from ckptfmt.text.closest import closest_names, did_you_mean
from ckptfmt.text.quoting import shortened

_T = TypeVar("_T")

_REST = get_args(Rest)
_KEYS = ("version", "rest", "general", "include", "about", "step")
_ABOUT = tuple(field.name for field in fields(About))


def parse_plan(text: str, file: str | None = None, limits: Limits = DEFAULT) -> PlanText:
    """Return the contents of the text of a plan; raises the errors of :meth:`Plan.parse`."""
    deep = find_deep_key(text)
    if deep is not None:
        raise PlanError(f"a key on line {deep} has more than {MAX_PARTS} parts", file=file)
    try:
        document = _toml().loads(text.replace("\r\n", "\n"))
    except (ValueError, RecursionError) as error:
        # ValueError covers TOMLDecodeError, and numbers with more digits than int() accepts.
        raise PlanError(f"not TOML: {str(error) or type(error).__name__}", file=file) from error
    place = StepPlace(file)
    _check_keys(document, _KEYS, "a plan", place)
    version = document.get("version")
    if type(version) is not int or version != VERSION:  # true equals 1 but is not a version
        raise place.error(f"version: got {_shown(version)}, want {VERSION}")
    rest = document.get("rest", "keep")
    if rest not in _REST:
        raise place.error(f"rest: got {_shown(rest)}, want {_any_of(_REST)}{_hint(rest, _REST)}")
    general = document.get("general", False)
    if not isinstance(general, bool):
        raise place.error(f"general: got {_shown(general)}, want true or false")
    tables = document.get("step", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise place.error(f"step: got {_shown(tables)}, want tables, each headed [[step]]")
    steps = tuple(
        _parse_step(table, StepPlace(file, number), limits) for number, table in enumerate(tables, 1)
    )
    about = _parse_about(document["about"], place) if "about" in document else None
    places = tuple(StepPlace(file, number) for number, _ in enumerate(steps, 1))
    include = document.get("include", "")
    if "include" in document:
        first = _parse_included(include, place, limits)
        steps, places, general = first.steps + steps, first.places + places, general or first.is_general
    return PlanText(steps, rest, general, about, include, places=places)


def _parse_included(name: object, place: StepPlace, limits: Limits) -> PlanText:
    """Return the shipped plan that another plan begins with."""
    if not isinstance(name, str) or name not in shipped_names():
        names = shipped_names()
        wanted = f"the name of a shipped plan: {_any_of(names)}{_hint(name, names)}"
        raise place.error(f"include: got {_shown(name)}, want {wanted}")
    return parse_plan(read_shipped(name), name, limits)


def _parse_about(table: object, place: StepPlace) -> About:
    """Return what a plan says about itself; PlanError for an unknown key, or a value of the wrong type."""
    if not isinstance(table, dict):
        raise place.error(f"about: got {_shown(table)}, want a table, headed [about]")
    _check_keys(table, _ABOUT, "about", place)
    for key, value in table.items():
        if key == "notes":
            if not isinstance(value, list) or not all(isinstance(note, str) for note in value):
                raise place.error(f"about: notes: got {_shown(value)}, want a list of strings")
        elif not isinstance(value, str):
            raise place.error(f"about: {key}: got {_shown(value)}, want a string")
    return About(**{**table, "notes": tuple(table.get("notes", ()))})


def _toml() -> Any:  # noqa: ANN401  (the module tomllib or tomli)
    """Return the module that reads TOML."""
    for module in ("tomllib", "tomli"):
        with suppress(ModuleNotFoundError):
            return importlib.import_module(module)
    raise MissingDependencyError("tomli", "plans")


_VERBS = {kind.verb: kind for kind in STEPS}


def _parse_step(table: Mapping[str, object], place: StepPlace, limits: Limits) -> Step:
    verbs = [verb for verb in _VERBS if verb in table]
    if len(verbs) != 1:
        known = (*_VERBS, *dict.fromkeys(key for kind in STEPS for key in (*kind.keys, *kind.conditions)))
        if not verbs:
            # A mistyped verb is an unknown key, and the error for that suggests the right one.
            _check_keys(table, known, "a step", place)
        got = " and ".join(map(repr, verbs)) if verbs else f"the keys {list(table)}" if table else "none"
        raise place.error(f"verb: got {got}, want exactly one of {_any_of(tuple(_VERBS))}")
    (verb,) = verbs
    kind = _VERBS[verb]
    # A table says all: ``to`` belongs to a pattern.
    is_table = verb == "rename" and isinstance(table[verb], dict)
    _check_keys(table, (verb,) if is_table else (verb, *kind.keys, *kind.conditions), verb, place)
    step = _PARSERS[verb](_Fields(table, place, limits))
    wrong = step.check()
    if wrong:
        raise place.error(wrong)
    return step


@dataclass(frozen=True)
class _Fields:
    """The keys of a step, each returned in the type that it must have."""

    table: Mapping[str, object]
    place: StepPlace
    limits: Limits

    def get(self, key: str) -> object:
        if key not in self.table:
            verb = next(verb for verb in _VERBS if verb in self.table)
            raise self.place.error(f"{verb}: the key {key!r} is missing")
        return self.table[key]

    def text(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, value, "a list of strings")
        return tuple(value)

    def pattern(self, key: str) -> Pattern:
        return Pattern(self.text(key), self.limits)

    def patterns(self, key: str) -> tuple[Pattern, ...]:
        texts = (self.text(key),) if isinstance(self.get(key), str) else self.texts(key)
        return tuple(Pattern(text, self.limits) for text in texts)

    def integer(self, key: str) -> int:
        value = self.get(key)
        if not _is_integer(value):
            raise self._wrong(key, value, "an integer")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        value = self.get(key)
        if not isinstance(value, list) or not all(map(_is_integer, value)):
            raise self._wrong(key, value, "a list of integers")
        return tuple(value)

    def dtype(self, key: str) -> DType:
        name = self.text(key)
        if name not in BY_NAME:
            hint = _hint(name, BY_NAME)
            raise self.place.error(f"{key}: got {name!r}, want the name of a dtype such as 'float32'{hint}")
        return BY_NAME[name]

    def names(self, key: str) -> dict[str, str]:
        value = self.get(key)
        assert isinstance(value, dict)
        for old, new in value.items():
            if not isinstance(new, str):
                # In TOML, the key a.b without quotes means a table: {"a": {"b": …}}.
                hint = "; quote names that have dots" if isinstance(new, dict) else ""
                raise self._wrong(f"{key}.{old!r}", new, f"a string{hint}")
        return dict(value)

    def sizes(self, key: str) -> tuple[Size, ...]:
        value = self.get(key)
        if not isinstance(value, list) or not all(
            isinstance(size, str) or _is_integer(size) for size in value
        ):
            raise self._wrong(key, value, "a list of integers and of names for sizes")
        return tuple(value)

    def number(self, key: str) -> float:
        value = self.get(key)
        if not _is_integer(value) and not isinstance(value, float):
            raise self._wrong(key, value, "a number")
        return value

    def optional(self, key: str, get: Callable[[str], _T]) -> _T | None:
        return get(key) if key in self.table else None

    def conditions(self) -> dict[str, Any]:
        """Return the conditions that the step sets."""
        shaped = self.optional("shaped", self.sizes)
        return {
            "shaped": None if shaped is None else ShapePattern(shaped),
            "beside": self.optional("beside", self.text),
        }

    def _wrong(self, key: str, got: object, want: str) -> PlanError:
        return self.place.error(f"{key}: got {_shown(got)}, want {want}")


def _is_integer(value: object) -> TypeGuard[int]:
    """Return whether a value is an integer of 64 bits, as TOML has them; tomllib parses larger ones too."""
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def _parse_rename(fields: _Fields) -> Step:
    if isinstance(fields.table["rename"], dict):
        return RenameTable(fields.names("rename"))
    return Rename(fields.pattern("rename"), fields.text("to"), **fields.conditions())


_PARSERS: Mapping[str, Callable[[_Fields], Step]] = {
    "rename": _parse_rename,
    "drop": lambda f: Drop(f.pattern("drop"), **f.conditions()),
    "transpose": lambda f: Transpose(
        f.pattern("transpose"), f.optional("axes", f.integers), **f.conditions()
    ),
    "reshape": lambda f: Reshape(f.pattern("reshape"), f.sizes("shape"), **f.conditions()),
    "cast": lambda f: CastTo(f.pattern("cast"), f.dtype("dtype"), **f.conditions()),
    "split": lambda f: Split(
        f.pattern("split"), f.texts("into"), f.integer("axis"), f.optional("sizes", f.sizes), **f.conditions()
    ),
    "concat": lambda f: Concat(f.patterns("concat"), f.text("into"), f.integer("axis"), **f.conditions()),
    "fill": lambda f: Fill(
        f.pattern("fill"),
        f.text("into"),
        f.number("value"),
        f.optional("shape", f.sizes),
        f.optional("dtype", f.dtype),
        **f.conditions(),
    ),
    "sum": lambda f: Sum(f.patterns("sum"), f.text("into"), **f.conditions()),
    "refuse": lambda f: Refuse(f.pattern("refuse"), f.text("because"), **f.conditions()),
}


def _check_keys(table: Mapping[str, object], known: Iterable[str], what: str, place: StepPlace) -> None:
    known = tuple(known)
    for key in table:
        if key not in known:
            wanted = f"{what} has {_any_of(known)}"
            raise place.error(f"unknown key {_shown(key)}{_hint(key, known)}; {wanted}")


def _hint(got: object, known: Iterable[str]) -> str:
    """Return a suggestion for a mistyped word, as the end of a message."""
    return did_you_mean(closest_names(got, known, count=1)) if isinstance(got, str) else ""


def _any_of(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(map(repr, words[:-1])), repr(words[-1])]))


def _shown(value: object) -> str:
    """Return a value of the file as messages show it."""
    try:
        text = "none" if value is None else repr(value)
    except (ValueError, RecursionError):
        # An integer with more digits than Python prints, or tables nested too deep.
        text = f"a large {type(value).__name__}"
    return shortened(text, 100)
