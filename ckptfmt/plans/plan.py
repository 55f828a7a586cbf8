"""Plans: renames and transformations of tensors, as data.

A plan is steps (:mod:`ckptfmt.plans.steps`), written as TOML (:mod:`ckptfmt.plans.toml`, which
shows every one). Steps are applied in order, to the tensors whose names match as the steps before have named
them; the other tensors pass. With ``rest = "drop"`` the name of a tensor that no step has touched so far is
free: an average may be renamed to its variable, which then goes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.dtypes import DType
from ckptfmt.errors import (
    CkptfmtError,
    CorruptError,
    NameConflictError,
    PlanError,
)
from ckptfmt.plans import toml as plan_toml
from ckptfmt.plans.expressions import Expression, Place, Stored
from ckptfmt.plans.steps import CastTo, Drop, Event, RenameTable, Report, Step, named
from ckptfmt.plans.toml import PlanText, Rest
from ckptfmt.storage.filesystem import Filesystem, read_small_file
from ckptfmt.storage.local import filesystem_of
from ckptfmt.storage.output import write_file

MAX_PLAN_BYTES = 1 << 28
"""A larger file is no plan."""


class HasEntries(Protocol):
    """A checkpoint, a view of one, or anything else that says what tensors it has."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What is known of each tensor, by name."""


class Fate(NamedTuple):
    """What becomes of one tensor under a plan."""

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


class Finding(NamedTuple):
    """What a plan gets wrong with some tensors, or what is worth knowing."""

    severity: Literal["error", "note"]
    step: int | None
    """Number of the step, from 1; None where it is about the plan."""
    message: str
    names: tuple[str, ...]
    """The tensors concerned."""

    def __str__(self) -> str:
        step = "" if self.step is None else f"step {self.step}: "
        return f"{self.severity}: {step}{self.message}"


def _as_tuple(place: int | tuple[int, ...]) -> tuple[int, ...]:
    return place if isinstance(place, tuple) else (place,)


@dataclass
class _Run:
    """A plan on its way through its steps."""

    claims: dict[str, Expression]
    """The tensors under the names they have by now."""
    order: dict[str, int | tuple[int, ...]]
    """Sorts them as their sources were; parts have tuples, to sort as they lie in what was split."""
    report: Report
    rest: Rest
    touched: set[str] = field(default_factory=set)
    """Those of them that any step has taken."""
    dropped: list[Expression] = field(default_factory=list)
    clashing: list[tuple[str, Expression]] = field(default_factory=list)
    """Tensors whose name another one has taken."""
    displaced: list[str] = field(default_factory=list)
    """Tensors no step has taken, to be dropped, that have given way to others made under their names."""

    def advance(self, step: Step, place: Place) -> None:
        """Apply a step; nobody asks what it did."""
        names = step.new_names(self.claims)
        if names is None or not self._rename(names):
            self.apply(step, place)

    def _rename(self, names: Mapping[str, str]) -> bool:
        """Give tensors new names, where there is no word to be said about it; return whether."""
        claims, order = self.claims, self.order
        new_names = set(names.values())
        if "" in new_names or len(new_names) < len(names):
            return False
        if any(map(claims.__contains__, new_names.difference(names))):
            return False
        # All are taken before any is given, so that names can be swapped.
        moved = [claims.pop(old) for old in names]
        places = [order.pop(old) for old in names]
        claims.update(zip(names.values(), moved, strict=True))
        order.update(zip(names.values(), places, strict=True))
        self.touched.difference_update(names)
        self.touched |= new_names
        return True

    def apply(self, step: Step, place: Place) -> list[Event]:
        """Apply a step, and return what it did."""
        claims = self.claims
        events = list(step.events(claims, place, self.report))
        taken = [tuple(name for name, _ in event.taken) for event in events]
        places = []
        for names in taken:
            for name in names:
                del claims[name]
            # What is made of several stands where the first of them stood.
            places.append(min(map(self.order.pop, names), key=_as_tuple))
            self.touched.difference_update(names)
        before = len(self.clashing)
        fresh: set[str] = set()
        makers: dict[str, list[str]] = {}  # under the names from before the step
        for event, names, at in zip(events, taken, places, strict=True):
            if not event.made:
                self.dropped += (expression for _, expression in event.taken)
            for number, (new, made) in enumerate(event.made):
                if not new:
                    self.report(place.error(f"new name of {names[0]!r}: got an empty one"), names[:1])
                makers.setdefault(new, []).append(names[0])
                if new and (new not in claims or self._gives_way(new)):
                    claims[new] = made
                    self.order[new] = (*_as_tuple(at), number) if len(event.made) > 1 else at
                    self.touched.add(new)
                    fresh.add(new)
                else:
                    self.clashing.append((new, made))
        clashes = {
            new: [*([] if new in fresh else [new]), *makers[new]] for new, _ in self.clashing[before:] if new
        }
        if clashes:
            where = f"{place}: " if str(place) else ""
            what = f"{where}several tensors would get one name"
            self.report(NameConflictError(what, names=clashes), list(clashes))
        return events

    def _gives_way(self, name: str) -> bool:
        """Whether a tensor is one to be dropped at the end; then its name is free already."""
        if self.rest != "drop" or name in self.touched:
            return False
        self.displaced.append(name)
        return True

    def kept(self) -> dict[str, Expression]:
        """The tensors there are at the end, in the order of their sources."""
        names = self.claims if self.rest != "drop" else self.touched
        places = [(_as_tuple(self.order[name]), name) for name in names if type(self.order[name]) is tuple]
        if places:
            places += ((_as_tuple(self.order[name]), name) for name in names if type(self.order[name]) is int)
            return {name: self.claims[name] for _, name in sorted(places)}
        # Numbers alone, which all have that was not split, are sorted sooner.
        return {name: self.claims[name] for name in sorted(names, key=self.order.__getitem__)}

    def leftovers(self) -> list[str]:
        """The tensors that no step has taken."""
        return [*self.displaced, *(name for name in self.claims if name not in self.touched)]


@dataclass(frozen=True)
class Plan:
    """Steps that rename and transform tensors; see :mod:`ckptfmt.plans.toml` for the file.

    Tensors are given as anything that has ``entries``: a checkpoint, or a view of one.
    """

    steps: tuple[Step, ...] = ()
    """In the order they are applied."""
    rest: Rest = "keep"
    """What becomes of tensors that no step has touched."""
    file: str | None = field(default=None, compare=False)
    """The file it was read from."""
    comment: str = field(default="", compare=False)
    """Lines written at the end, not read back."""

    def targets(self, entries: Mapping[str, Entry]) -> dict[str, Expression]:
        """Return what the plan makes of tensors: an expression over their names for each new name.

        Shapes and dtypes are not looked at; :meth:`Expression.spec` does so, and :meth:`lint` for all.

        Raises
        ------
        NameConflictError
            Several tensors would get one name.
        PlanError
            A concat misses a part, or ``rest="error"`` and no step has touched some tensors.
        """
        run = self._start(entries, _raise)
        for number, step in enumerate(self.steps, 1):
            run.advance(step, Place(self.file, number))
        self._check_rest(run)
        return run.kept()

    def dry_run(self, tensors: HasEntries) -> list[Fate]:
        """Return what becomes of each tensor, in their order.

        It shows plans that :meth:`lint` finds errors in, too.
        """
        run = self._start(tensors.entries, _ignore)
        steps: dict[str, list[int]] = {name: [] for name in tensors.entries}
        targets: dict[str, list[str]] = {name: [] for name in tensors.entries}
        for number, step in enumerate(self.steps, 1):
            for event in run.apply(step, Place(self.file, number)):
                for _, taken in event.taken:
                    for source in taken.sources:
                        if steps[source][-1:] != [number]:
                            steps[source].append(number)
        for name, made in (*run.kept().items(), *run.clashing):
            for source in made.sources:
                targets[source].append(name)
        dropped = {source for gone in run.dropped for source in gone.sources}
        if self.rest == "drop":
            dropped.update(run.leftovers())  # no step has taken them: they have the names they had
        return [
            Fate(name, tuple(dict.fromkeys(targets[name])), tuple(steps[name]), name in dropped)
            for name in tensors.entries
        ]

    def lint(self, tensors: HasEntries) -> list[Finding]:
        """Return everything the plan gets wrong with these tensors, and what is worth knowing.

        Errors: tensors used twice, names made twice, steps (other than drop) that match nothing, operations
        that do not fit dtype or shape, parts that are missing, leftovers under ``rest="error"``. Notes: casts
        that may change values, drops that match nothing, leftovers under ``rest="drop"``. With no error, each
        tensor is used once or dropped, each name is made once, and everything can be read.
        """
        findings: list[Finding] = []
        entries = tensors.entries

        def keep(error: CkptfmtError, names: Sequence[str]) -> None:
            # A finding says the step itself.
            what = error.what if isinstance(error, PlanError) else str(error).removeprefix(f"step {number}: ")
            findings.append(Finding("error", number, what, tuple(names)))

        number: int | None = None
        severity: Literal["error", "note"]
        run = self._start(entries, keep)
        for number, step in enumerate(self.steps, 1):
            # A table is compared with the names before it is applied; of others it counts what they did.
            table = step.names if isinstance(step, RenameTable) else {}
            absent = [name for name in table if name not in run.claims]
            events = run.apply(step, Place(None, number))
            if absent:
                message = f"{len(absent)} of {len(table)} names are not there: {named(absent)}"
                findings.append(Finding("error", number, message, tuple(absent)))
            elif not events:
                severity = "note" if isinstance(step, Drop) else "error"
                findings.append(Finding(severity, number, f"{step} matches nothing", ()))
            if isinstance(step, CastTo):
                findings += _lossy(step, events, entries, number)
        number = None
        findings += _misfits(run.kept(), entries)
        leftovers = run.leftovers()
        if leftovers and self.rest != "keep":
            message = f"rest = {self.rest!r}: no step takes {named(leftovers)}"
            findings.append(
                Finding("note" if self.rest == "drop" else "error", None, message, tuple(leftovers))
            )
        return findings

    def inverted(self, tensors: HasEntries) -> Plan:
        """Return the plan that makes these tensors again out of what this one makes of them.

        Its names are concrete: it is an inverse for these tensors, not for others.

        Raises
        ------
        PlanError
            Something cannot be undone, all of which is listed: tensors dropped, casts that may have changed
            values; or the plan does not fit these tensors.
        NameConflictError
            Several tensors would get one name.
        """
        entries = tensors.entries

        def spec(expression: Expression) -> tuple[DType, Shape]:
            return expression.spec(entries)

        run = self._start(entries, _raise)
        undoing: list[list[Step]] = []
        problems: list[str] = []
        for number, step in enumerate(self.steps, 1):
            events = run.apply(step, Place(self.file, number))
            for event in events:
                for _, made in event.made:
                    made.spec(entries)
            try:
                undoing.append(step.inverse(events, spec))
            except PlanError as error:
                problems.append(f"step {number}: {error.what}")
        self._check_rest(run)
        leftovers = run.leftovers()
        if self.rest == "drop" and leftovers:
            problems.append(f"rest = 'drop' leaves out {named(leftovers)}")
        if problems:
            raise PlanError(f"no inverse: {'; '.join(problems)}", file=self.file)
        return Plan(tuple(step for steps in reversed(undoing) for step in steps))

    # --- as text -----------------------------------------------------------------------------------------

    def to_toml(self) -> str:
        """Return the plan as the text of a file; :func:`parse_plan` reads it back.

        Raises PlanError where names cannot be written: those that are not UTF-8.
        """
        return plan_toml.written(PlanText(self.steps, self.rest, self.comment), self.file)

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the plan to a file, whole or not at all: beside, synced, then under its name.

        Raises
        ------
        AlreadyExistsError
            There is a file already, and not ``overwrite``.
        PlanError
            Names cannot be written.
        NotWritableError
            The operating system refuses.
        """
        write_file(os.fspath(path), [self.to_toml().encode()], overwrite=overwrite)

    # --- its parts ---------------------------------------------------------------------------------------

    def _start(self, entries: Mapping[str, Entry], report: Report) -> _Run:
        claims: dict[str, Expression] = {name: Stored(name) for name in entries}
        return _Run(claims, dict(zip(claims, range(len(claims)), strict=True)), report, self.rest)

    def _check_rest(self, run: _Run) -> None:
        leftovers = run.leftovers() if self.rest == "error" else []
        if leftovers:
            raise PlanError(f"rest = 'error': no step takes {named(leftovers)}", file=self.file)


def _raise(error: CkptfmtError, _: Sequence[str]) -> None:
    raise error


def _ignore(_: CkptfmtError, __: Sequence[str]) -> None:
    """A dry run shows what it can."""


def _lossy(
    step: CastTo, events: Sequence[Event], entries: Mapping[str, Entry], number: int
) -> Iterable[Finding]:
    """Notes of the values that a cast may change."""
    fitting = []
    for event in events:
        with suppress(PlanError):
            event.made[0][1].spec(entries)  # what does not fit is found at the end
            fitting.append(event)
    for dtype, names in step.lossy(fitting, lambda expression: expression.spec(entries)).items():
        message = f"cast of {named(names)} from {dtype.name} to {step.dtype.name} may change values"
        yield Finding("note", number, message, tuple(names))


def _misfits(kept: Mapping[str, Expression], entries: Mapping[str, Entry]) -> list[Finding]:
    """What cannot be read because an operation does not fit, each error once."""
    found: dict[tuple[int | None, str], list[str]] = {}
    for name, made in kept.items():
        try:
            made.spec(entries)
        except PlanError as error:
            found.setdefault((error.step, error.what), []).append(name)
    return [Finding("error", step, what, tuple(names)) for (step, what), names in found.items()]


def read_plan(path: str | os.PathLike[str], *, backend: str = "mmap", fs: Filesystem | None = None) -> Plan:
    """Return the plan in a file.

    Raises
    ------
    PlanError
        The file is no TOML, or no plan: what, in which step.
    PathNotFoundError
        There is no such file (a FileNotFoundError).
    NotReadableError
        The operating system refuses it.
    """
    name = os.fspath(path)
    try:
        data = read_small_file(filesystem_of(backend, fs), name, limit=MAX_PLAN_BYTES, what="a plan")
    except CorruptError as error:
        raise PlanError(error.what, file=name) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlanError(f"not UTF-8 at byte {error.start}", file=name) from error
    return parse_plan(text, name)


def parse_plan(text: str, file: str | None = None) -> Plan:
    """Return the plan that a text is, ``file`` being where errors say it comes from.

    Raises
    ------
    PlanError
        The text is no TOML, or no plan: what, in which step.
    MissingDependencyError
        On Python 3.10 TOML is read with ``tomli``, which is not installed.
    """
    parsed = plan_toml.parsed(text, file)
    return Plan(parsed.steps, parsed.rest, file)
