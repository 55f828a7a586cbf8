"""Plans: renames and transformations of tensors, as data.

A plan is steps (:mod:`ckptfmt.checkpoint.steps`), written as TOML (:mod:`ckptfmt.checkpoint.plan_toml`, which
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

from ckptfmt.checkpoint import plan_toml
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.plan_toml import PlanText, Rest
from ckptfmt.checkpoint.steps import (
    CastTo,
    Claim,
    Drop,
    Event,
    RenameTable,
    Report,
    Step,
    named,
)
from ckptfmt.checkpoint.transform import Expression, Place, Stored
from ckptfmt.dtypes import DType
from ckptfmt.errors import (
    CkptfmtError,
    NameConflictError,
    NotReadableError,
    PlanError,
)
from ckptfmt.tensor import Shape
from ckptfmt.wire.file import MappedFile

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


@dataclass
class _Run:
    """A plan on its way through its steps."""

    claims: dict[str, Claim]
    """The tensors under the names they have by now."""
    report: Report
    dropped: list[Claim] = field(default_factory=list)
    rest: Rest = "keep"
    clashing: list[tuple[str, Claim]] = field(default_factory=list)
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
        claims = self.claims
        if (
            "" in (new_names := set(names.values()))
            or len(new_names) < len(names)
            or any(new in claims and new not in names for new in new_names)
        ):
            return False
        moved = [(new, claims.pop(old)) for old, new in names.items()]
        for new, claim in moved:
            claims[new] = claim if claim.touched else Claim(claim.expression, claim.order, True)
        return True

    def apply(self, step: Step, place: Place) -> list[Event]:
        """Apply a step, and return what it did."""
        claims = self.claims
        events = list(step.events(claims, place, self.report))
        for event in events:
            for name, claim in event.taken:
                del claims[name]
                if not event.made:
                    self.dropped.append(claim)
        clashes = []
        for event in events:
            for name, claim in event.made:
                if name and (name not in claims or self._gives_way(name)):
                    claims[name] = claim
                    continue
                self.clashing.append((name, claim))
                if name:
                    clashes.append(name)
                else:
                    source = event.taken[0][0]
                    self.report(place.error(f"new name of {source!r}: got an empty one"), [source])
        if clashes:
            where = f"{place}: " if str(place) else ""
            what = f"{where}several tensors would get one name"
            names = self._claimants(clashes, events)
            self.report(NameConflictError(what, names=names), list(names))
        return events

    def _claimants(self, clashes: Sequence[str], events: Sequence[Event]) -> dict[str, list[str]]:
        """For each name made twice what claims it, under the names from before the step."""
        claimants: dict[str, list[str]] = {name: [] for name in clashes}
        makers = [(name, claim, event) for event in events for name, claim in event.made if name in claimants]
        made = {id(claim) for _, claim, _ in makers}
        for name in claimants:
            if id(self.claims[name]) not in made:
                claimants[name].append(name)
        for name, _, event in makers:
            claimants[name].append(event.taken[0][0])
        return claimants

    def _gives_way(self, name: str) -> bool:
        """Whether a tensor is one to be dropped at the end; then its name is free already."""
        if self.rest != "drop" or self.claims[name].touched:
            return False
        self.displaced.append(name)
        return True

    def leftovers(self) -> list[str]:
        """The tensors that no step has taken."""
        return [*self.displaced, *(name for name, claim in self.claims.items() if not claim.touched)]


@dataclass(frozen=True)
class Plan:
    """Steps that rename and transform tensors; see :mod:`ckptfmt.checkpoint.plan_toml` for the file.

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
        kept = self._kept(run)
        kept.sort(key=lambda item: item[1].order)
        return {name: claim.expression for name, claim in kept}

    def dry_run(self, tensors: HasEntries) -> list[Fate]:
        """Return what becomes of each tensor, in their order.

        It shows plans that :meth:`lint` finds errors in, too.
        """
        run = self._start(tensors.entries, _ignore)
        steps: dict[str, list[int]] = {name: [] for name in tensors.entries}
        targets: dict[str, list[str]] = {name: [] for name in tensors.entries}
        for number, step in enumerate(self.steps, 1):
            for event in run.apply(step, Place(self.file, number)):
                for _, claim in event.taken:
                    for source in claim.expression.sources:
                        if steps[source][-1:] != [number]:
                            steps[source].append(number)
        kept = self._kept(run)
        for name, claim in sorted([*kept, *run.clashing], key=lambda item: item[1].order):
            for source in claim.expression.sources:
                targets[source].append(name)
        dropped = {source for claim in run.dropped for source in claim.expression.sources}
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
        findings += _misfits(self._kept(run), entries)
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
                for _, claim in event.made:
                    claim.expression.spec(entries)
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
        PlanError
            There is a file already, and not ``overwrite``; or names cannot be written.
        NotReadableError
            The operating system refuses.
        """
        target = os.fspath(path)
        data = self.to_toml().encode()
        beside = f"{target}.{os.getpid()}.tmp"
        try:
            descriptor = os.open(
                beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
            )
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if not overwrite:
                    # Takes the name, or fails: two writers cannot both find it free.
                    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
                os.replace(beside, target)  # noqa: PTH105  (a path may be a string)
            except BaseException:
                with suppress(OSError):
                    os.unlink(beside)  # noqa: PTH108
                raise
        except FileExistsError:
            raise PlanError(f"{target}: got a file that is there already, want a new one") from None
        except (OSError, ValueError) as error:
            # ValueError: the path holds a NUL.
            raise NotReadableError(target, getattr(error, "strerror", None) or str(error)) from error

    # --- its parts ---------------------------------------------------------------------------------------

    def _start(self, entries: Mapping[str, Entry], report: Report) -> _Run:
        claims = {name: Claim(Stored(name), (i,), touched=False) for i, name in enumerate(entries)}
        return _Run(claims, report, rest=self.rest)

    def _kept(self, run: _Run) -> list[tuple[str, Claim]]:
        """The tensors there are at the end."""
        return [item for item in run.claims.items() if self.rest != "drop" or item[1].touched]

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
            event.made[0][1].expression.spec(entries)  # what does not fit is found at the end
            fitting.append(event)
    for dtype, names in step.lossy(fitting, lambda expression: expression.spec(entries)).items():
        message = f"cast of {named(names)} from {dtype.name} to {step.dtype.name} may change values"
        yield Finding("note", number, message, tuple(names))


def _misfits(kept: Sequence[tuple[str, Claim]], entries: Mapping[str, Entry]) -> list[Finding]:
    """What cannot be read because an operation does not fit, each error once."""
    found: dict[tuple[int | None, str], list[str]] = {}
    for name, claim in kept:
        try:
            claim.expression.spec(entries)
        except PlanError as error:
            found.setdefault((error.step, error.what), []).append(name)
    return [Finding("error", step, what, tuple(names)) for (step, what), names in found.items()]


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Return the plan in a file.

    Raises
    ------
    PlanError
        The file is no TOML, or no plan: what, in which step.
    CheckpointNotFoundError
        There is no such file (a FileNotFoundError).
    NotReadableError
        The operating system refuses it.
    """
    name = os.fspath(path)
    file = MappedFile(name)
    try:
        if file.size > MAX_PLAN_BYTES:
            raise PlanError(
                f"too large for a plan: got {file.size} bytes, want at most {MAX_PLAN_BYTES}", file=name
            )
        data = bytes(file.read(0, file.size))
    finally:
        file.close()
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
