"""Plans: renames and transformations of tensors, as data.

A plan is a list of steps (:mod:`ckptfmt.plans.steps`), written as TOML (:mod:`ckptfmt.plans.plan_text`, which
shows every verb). Steps are applied in order, each to the tensors whose current names match; other tensors
pass through. With ``rest = "drop"``, the name of a tensor that no step has touched is free for others: an
average can be renamed to its variable, which is then left out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, Protocol

from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.dtypes import DType
from ckptfmt.errors import CkptfmtError, CorruptError, PlanError
from ckptfmt.limits import DEFAULT, Limits, check_limits
from ckptfmt.notebook.card import Card, Table, Text
from ckptfmt.notebook.fields import brief
from ckptfmt.notebook.page import to_html
from ckptfmt.plans.about import About
from ckptfmt.plans.expressions import Expression
from ckptfmt.plans.lint import Finding, lint_steps
from ckptfmt.plans.parsing import parse_plan
from ckptfmt.plans.place import StepPlace
from ckptfmt.plans.plan_text import PlanText
from ckptfmt.plans.shipped_files import may_be_shipped, read_shipped
from ckptfmt.plans.state import PlanState, Rest
from ckptfmt.plans.step import Step
from ckptfmt.plans.writing import format_plan
from ckptfmt.storage.filesystem import Filesystem, read_small_file
from ckptfmt.storage.local import filesystem_of
from ckptfmt.text.quoting import listed

MAX_PLAN_BYTES = 1 << 28
"""A larger file is not a plan."""


_MAX_WRITTEN = 1000
"""Steps of a plan whose text a notebook shows."""


class HasEntries(Protocol):
    """A checkpoint, a view of one, or anything else that says which tensors it has."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What is known of each tensor, by name."""


class Fate(NamedTuple):
    """The fate of one tensor under a plan."""

    source: str
    """Its name."""
    targets: tuple[str, ...]
    """What it becomes, or becomes part of."""
    steps: tuple[int, ...]
    """Numbers of the steps that take it, from 1."""
    dropped: bool
    """Whether it, or a part of it, is left out."""

    def __str__(self) -> str:
        targets = ", ".join(map(repr, self.targets))
        return f"{self.source!r} {self.fate}{': ' if targets else ''}{targets}"

    @property
    def fate(self) -> str:
        """One word: ``kept``, ``changed``, ``dropped``, ``partly dropped`` or ``lost``."""
        if self.dropped:
            return "partly dropped" if self.targets else "dropped"
        if not self.targets:
            return "lost"
        return "changed" if self.steps else "kept"


@dataclass(frozen=True)
class Plan:
    """Steps that rename and transform tensors; see :mod:`ckptfmt.plans.plan_text` for the file.

    Tensors are given as anything that has ``entries``: a checkpoint, or a view of one.
    """

    steps: tuple[Step, ...] = ()
    """The steps, in the order in which they are applied."""
    rest: Rest = "keep"
    """What becomes of tensors that no step has touched."""
    file: str | None = field(default=None, compare=False)
    """The file that it was read from."""
    comment: str = field(default="", compare=False)
    """Lines written at the end; not read back."""
    is_general: bool = False
    """Whether it is for many models, so that a step that matches nothing in one of them is no error."""
    about: About | None = field(default=None, compare=False)
    """What it is for, if its file says that."""
    include: str = field(default="", compare=False)
    """The shipped plan that it begins with; its steps are among the steps. Empty if there is none."""
    _places: tuple[StepPlace, ...] = field(default=(), compare=False, repr=False)
    """The file of each step and its number there, for errors; empty if all are from :attr:`file`."""

    def _card(self) -> Card:
        steps = Table(
            "Steps",
            ("step", "verb", "takes", ""),
            lambda: range(len(self.steps)),
            self._cells,
            is_open=True,
        )
        # Only a plan for people to read is written out: one may have a million steps.
        text = [Text("TOML", self.to_toml)] if len(self.steps) <= _MAX_WRITTEN else []
        return Card(
            "Plan", self.file or "", [("steps", len(self.steps)), ("rest", self.rest)], [steps, *text]
        )

    def _cells(self, at: int) -> tuple[int, str, str, str]:
        fields = self.steps[at].fields()
        (verb, subject), *others = fields.items()
        return at + 1, verb, brief(subject), ", ".join(f"{key} = {brief(value)}" for key, value in others)

    def _repr_html_(self) -> str:
        return to_html(self._card)

    # --- as text -----------------------------------------------------------------------------------------

    @classmethod
    def parse(cls, text: str, file: str | None = None, *, limits: Limits = DEFAULT) -> Plan:
        """Return the plan that a text holds; errors name ``file`` as its origin.

        ``limits`` say how long its patterns may take; see :class:`ckptfmt.Limits`.

        Raises
        ------
        PlanError
            The text is not TOML, or not a plan; the message says why, and in which step.
        MissingDependencyError
            Python 3.10 reads TOML with ``tomli``, which is not installed.
        """
        check_limits(limits)
        parsed = parse_plan(text, file, limits)
        return cls(
            parsed.steps,
            parsed.rest,
            file,
            is_general=parsed.is_general,
            about=parsed.about,
            include=parsed.include,
            _places=parsed.places,
        )

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        backend: str = "mmap",
        fs: Filesystem | None = None,
        limits: Limits = DEFAULT,
    ) -> Plan:
        """Return the plan in a file, or the one that ships under a name.

        Parameters
        ----------
        path
            The file. If it does not exist, the name of a plan of :func:`ckptfmt.shipped_plans`, such as
            ``keras-torch``.
        backend
            How the file is read, as for :func:`ckptfmt.open`.
        fs
            The file system that the path leads into, if it is not this machine's.
        limits
            How long its patterns may take.

        Raises
        ------
        PlanError
            The file is not TOML, or not a plan; the message says why, and in which step.
        PathNotFoundError
            The file does not exist.
        NotReadableError
            The file cannot be read.
        """
        check_limits(limits)
        name = os.fspath(path)
        files = filesystem_of(backend, fs)
        if may_be_shipped(name) and files.path_type(name) is None:
            return cls.read_shipped(name, limits=limits)
        try:
            data = read_small_file(files, name, limit=MAX_PLAN_BYTES, what="a plan")
        except CorruptError as error:
            raise PlanError(error.what, file=name) from error
        try:
            # Editors on Windows begin a text with a byte order mark, which is not TOML.
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise PlanError(f"not UTF-8 at byte {error.start}", file=name) from error
        return cls.parse(text, name, limits=limits)

    @classmethod
    def read_shipped(cls, name: str, *, limits: Limits = DEFAULT) -> Plan:
        """Return the plan that ships under a name; PathNotFoundError, with near names, if there is none."""
        return _shipped(name) if limits == DEFAULT else cls.parse(read_shipped(name), name, limits=limits)

    def to_toml(self) -> str:
        """Return the plan as the text of a file, which :meth:`parse` reads back.

        Raises PlanError if a name cannot be written because it is not UTF-8.
        """
        return format_plan(self._text, self.file)

    @property
    def _text(self) -> PlanText:
        steps, include = self.steps, self.include
        included = Plan.read_shipped(include).steps if include else ()
        if steps[: len(included)] == included:
            steps = steps[len(included) :]
        else:
            include = ""  # its steps are not the first any more, so all are written
        return PlanText(steps, self.rest, self.is_general, self.about, include, self.comment)

    def write(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, fs: Filesystem | None = None
    ) -> None:
        """Write the plan to a file, which appears under its name when it is whole.

        ``fs`` is the file system that the path is in; by default that of this machine.

        Raises
        ------
        AlreadyExistsError
            The file exists, and ``overwrite`` is not set.
        PlanError
            A name cannot be written because it is not UTF-8.
        NotWritableError
            The file cannot be written.
        """
        text = self.to_toml().encode()
        with filesystem_of(fs=fs).create(os.fspath(path), overwrite=overwrite) as file:
            file.write(text)

    # --- applied to tensors ------------------------------------------------------------------------------

    def targets(self, entries: Mapping[str, Entry]) -> dict[str, Expression]:
        """Return the tensors that the plan makes: for each new name, an expression over the old names.

        Shapes and dtypes are not checked: :meth:`Expression.spec` checks one tensor, :meth:`lint` all.

        Raises
        ------
        NameConflictError
            Several tensors would get one name.
        PlanError
            A concat lacks a part; or ``rest`` is ``"error"``, and no step has touched some tensor.
        """
        state = PlanState(entries, self.rest, _raise)
        for step, place in self._placed_steps():
            state.apply(step, place)
        self._check_rest(state)
        return state.kept()

    def dry_run(self, tensors: HasEntries) -> list[Fate]:
        """Return the fate of each tensor, in their order.

        Works even if :meth:`lint` finds errors in the plan.
        """
        state = PlanState(tensors.entries, self.rest, _ignore)
        steps: dict[str, list[int]] = {name: [] for name in tensors.entries}
        targets: dict[str, list[str]] = {name: [] for name in tensors.entries}
        for number, (step, place) in enumerate(self._placed_steps(), 1):
            for taken in state.apply(step, place).taken.values():
                for source in taken.sources:
                    # A step may take several tensors made of one source, such as the parts of a split.
                    if steps[source][-1:] != [number]:
                        steps[source].append(number)
        # Tensors that did not get their name are shown too: the plan was to make them.
        for name, made in (*state.kept().items(), *state.clashing):
            for source in made.sources:
                targets[source].append(name)
        dropped = {source for expression in state.dropped for source in expression.sources}
        if self.rest == "drop":
            dropped.update(state.leftovers())
        return [
            Fate(name, tuple(dict.fromkeys(targets[name])), tuple(steps[name]), name in dropped)
            for name in tensors.entries
        ]

    def lint(self, tensors: HasEntries) -> list[Finding]:
        """Return the errors of the plan for these tensors, and notes about it.

        Errors: tensors used twice, names made twice, steps (except drop) that match nothing, operations that
        do not fit dtype or shape, missing parts, leftovers under ``rest="error"``. In a general plan, a step
        may match nothing, but not all of them. Notes: casts that may
        change values, drops that match nothing, leftovers under ``rest="drop"``. Without errors, each tensor
        is used once or dropped, each name is made once, and everything can be read.
        """
        return lint_steps(self.steps, self.rest, tensors.entries, is_general=self.is_general)

    def inverted(self, tensors: HasEntries) -> Plan:
        """Return the plan that makes these tensors again from what this one makes of them.

        Its names are concrete: it is the inverse for these tensors, not for others.

        Raises
        ------
        PlanError
            Dropped tensors, or casts that may have changed values, cannot be undone; the message lists all of
            them. Or the plan does not fit these tensors.
        NameConflictError
            Several tensors would get one name.
        """
        entries = tensors.entries

        def spec(expression: Expression) -> tuple[DType, Shape]:
            return expression.spec(entries)

        state = PlanState(entries, self.rest, _raise)
        undoing: list[list[Step]] = []
        problems: list[str] = []
        # Each step is inverted for the tensors that it takes here, and the inverses run in the other order.
        # Problems are collected, so that the error has all of them.
        for number, (step, place) in enumerate(self._placed_steps(), 1):
            changes = state.apply(step, place)
            for made in changes.made:
                made.spec(entries)  # raises if the step does not fit, before its inverse is asked for
            try:
                undoing.append(step.inverse(changes, spec))
            except PlanError as error:
                problems.append(f"step {number}: {error.what}")
        self._check_rest(state)
        leftovers = state.leftovers()
        if self.rest == "drop" and leftovers:
            problems.append(f"rest = 'drop' leaves out {listed(leftovers)}")
        if problems:
            raise PlanError(f"cannot be inverted: {'; '.join(problems)}", file=self.file)
        return Plan(tuple(step for steps in reversed(undoing) for step in steps))

    def _placed_steps(self) -> list[tuple[Step, StepPlace]]:
        """Return the steps, each with its place for errors."""
        if len(self._places) == len(self.steps):
            return list(zip(self.steps, self._places, strict=True))
        return [(step, StepPlace(self.file, number)) for number, step in enumerate(self.steps, 1)]

    def _check_rest(self, state: PlanState) -> None:
        leftovers = state.leftovers() if self.rest == "error" else []
        if leftovers:
            raise PlanError(f"rest = 'error': no step takes {listed(leftovers)}", file=self.file)


@cache
def _shipped(name: str) -> Plan:
    # Kept, because many patterns are compiled: all plans take half a second.
    return Plan.parse(read_shipped(name), name)


def _raise(error: CkptfmtError, _: Sequence[str]) -> None:
    raise error


def _ignore(_: CkptfmtError, __: Sequence[str]) -> None:
    """Let a dry run show what it can."""
