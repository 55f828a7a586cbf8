"""Conversions that are ready to be carried out: everything is known, and nothing has been written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ckptfmt import plans
from ckptfmt.converting.conversion import Conversion
from ckptfmt.converting.given import Given
from ckptfmt.converting.identity import conversion_key, source_digest, source_identity
from ckptfmt.converting.sinks.outgoing import Outgoing, outgoing
from ckptfmt.converting.sinks.sink import Sink
from ckptfmt.converting.sinks.writing import Writing
from ckptfmt.converting.sources.open_tensors import open_tensors
from ckptfmt.converting.sources.safetensors.index import INDEX_SUFFIX as SHARDS_SUFFIX
from ckptfmt.converting.sources.tensor_file import TensorFile
from ckptfmt.converting.targets import TARGETS, load_sink, target_format, target_path
from ckptfmt.converting.values_source import ValuesSource
from ckptfmt.converting.verifying import check_written
from ckptfmt.dtypes import DType
from ckptfmt.errors import AlreadyExistsError, ConversionError, NameConflictError
from ckptfmt.filenames import INDEX_SUFFIX
from ckptfmt.integrity import Progress
from ckptfmt.plans.casts import converted, is_exact
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import LocalFilesystem, writing_filesystem
from ckptfmt.tensors.mapping import TensorMapping
from ckptfmt.tensors.tensors import CastView, Tensors
from ckptfmt.text.closest import closest_names, did_you_mean
from ckptfmt.text.quoting import listed

FORM = 1
"""Raised when a later version writes other bytes for the same tensors, so as not to go on with old ones."""

_NAME_ADVICE = "pass model_only=True, exclude= or plan="

_MOST_PLAN = 64 << 10
"""Characters of the longest plan that a target keeps: every reader of the file reads all metadata."""

_MOST_LISTED = 20
"""Layers that a remark lists."""


@dataclass(frozen=True)
class Changes:
    """What becomes of each source."""

    apply: Callable[[Tensors], Tensors]
    """Makes the view that is written."""
    plan: plans.Plan | None = None
    """The plan in it, for the metadata of the target."""
    recipe: object = None
    """What tells these changes from others, as JSON."""


@dataclass(frozen=True)
class Destination:
    """Where a conversion writes, and how; see :func:`ckptfmt.convert`."""

    path: str
    to: str | None = None
    max_shard_bytes: int | None = None
    compression: str | None = None
    overwrite: bool = False
    resume: bool = False
    sync: bool = True


@dataclass(frozen=True)
class Preparation:
    """A conversion that is ready."""

    sink: Sink
    tensors: Sequence[Outgoing]
    """What is written, in the order of the sources."""
    writing: Writing

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return sum(each.nbytes for each in self.tensors)

    def check_target(self) -> None:
        """Raise AlreadyExistsError if writing would: the target exists, and is not to be replaced."""
        if self.writing.overwrite:
            return
        fs, path, format_ = self.writing.fs, self.writing.path, self.sink.format
        paths = [path]
        if format_ == "checkpoint":
            paths = [path.removesuffix(INDEX_SUFFIX) + INDEX_SUFFIX]
        elif format_ == "safetensors":
            # Readers take a file of one name for the model, whether it is the index or the only one.
            file = path.removesuffix(SHARDS_SUFFIX)
            paths = [file + SHARDS_SUFFIX, file]
        for each in paths:
            if fs.path_type(each) == "file" or (not TARGETS[format_].name and _is_full(fs, each)):
                raise AlreadyExistsError(each)

    def carry_out(
        self, *, verify: bool = False, progress: Progress | None = None, verifying: Progress | None = None
    ) -> Conversion:
        """Write the target, and compare it with the source if ``verify``; raises what ``convert`` raises."""
        if verify and not TARGETS[self.sink.format].reads_back:
            raise ValueError(f"verify: {self.sink.format} keeps no dtypes, so it cannot be read back")
        writing = replace(self.writing, advance=_advance(self.nbytes, progress))
        if directory := os.path.dirname(writing.path.rstrip("/" + os.sep)):
            writing.fs.make_directory(directory)
        try:
            files = self.sink.write(self.tensors, writing)
        except BaseException:
            writing.abandon()
            raise
        writing.settle()
        if verify:
            with open_tensors(files[0], fs=self.writing.fs) as written:
                check_written(self.tensors, written, files[0], verifying)
        names = tuple(each.name for each in self.tensors)
        return Conversion(
            tuple(files), self.sink.format, names, self.nbytes, verify, tuple(self.writing.remarks)
        )


def prepare(given: Given, changes: Changes, target: Destination, fs: Filesystem | None) -> Preparation:
    """Decide everything about a conversion; raises what ``convert`` raises before anything is written."""
    files = writing_filesystem(fs)
    sink = given.sink or load_sink(target_format(target.path, target.to))
    _check_shards(target.max_shard_bytes, sink.format)
    views = [changes.apply(each) for each in given.sources]
    going = [each for view in views for each in outgoing(view)]
    # Arrays in memory have no path.
    origin = ", ".join(view.prefix for view in views if view.prefix != ValuesSource.path)
    _check_names(going)
    problems = {each.name: what for each in going if (what := sink.problem(each)) is not None}
    if problems:
        advice = TARGETS[sink.format].advice
        raise ConversionError(sink.format, problems, file=origin or None, advice=advice)
    if clashes := sink.name_problems(going):
        raise ConversionError(sink.format, clashes, file=origin or None, advice=_NAME_ADVICE)
    writing = Writing(
        files,
        target_path(files, target.path, sink.format),
        target.overwrite,
        target.max_shard_bytes,
        _compression(target.compression, sink.format),
        _metadata(given.sources, origin, changes.plan),
        sync=target.sync,
        remarks=[*given.remarks, *_cast_remarks(views), *_left_out(given, going)],
    )
    if target.resume:
        _make_resumable(writing, sink, given.sources, changes.recipe, going)
    return Preparation(sink, going, writing)


def _cast_remarks(views: Iterable[Tensors]) -> list[str]:
    """Return what casts may do to values, judging by dtypes alone."""
    inexact = {
        view.dtype
        for view in views
        if isinstance(view, CastView)
        and any(
            not is_exact(entry.dtype, view.entries[name].dtype)
            for name, entry in view._parent.entries.items()
        )
    }
    return sorted(f"cast to {dtype.name}: {_cast_effect(dtype)}" for dtype in inexact)


def _cast_effect(dtype: DType) -> str:
    if dtype.is_integer:
        return "values that do not fit wrap around"
    with np.errstate(all="ignore"):
        most = converted(np.array(np.finfo(np.float64).max), dtype.numpy)
    # Most float8 types have no infinity, and float4 has no NaN either.
    end = "infinite" if np.isinf(most) else "NaN" if np.isnan(most) else "the largest that it has"
    return f"values are rounded, and those that are too large become {end}"


def _is_full(fs: Filesystem, path: str) -> bool:
    """Return whether a path is that of a directory with something in it; an empty one counts as missing."""
    if fs.path_type(path) != "directory":
        return False
    listing = fs.list_directory(path)
    return bool(listing.files or listing.directories)


def _left_out(given: Given, going: Iterable[Outgoing]) -> Iterator[str]:
    """Iterate over remarks on layers of a Keras model whose variables are not written."""
    if given.layers is None:
        return
    written = {each.name for each in going}
    absent = [name for each in given.sources for name in each if name not in written]
    if absent:
        paths = dict.fromkeys(name.rpartition("vars/")[0].rstrip("/") for name in absent)
        layers = [given.layers.get(path) or path or "the model" for path in paths]
        yield (
            "Keras cannot load the file into the model, since variables of these layers are left out: "
            f"{listed(layers, _MOST_LISTED)}"
        )


def _metadata(sources: Iterable[Tensors], origin: str, plan: plans.Plan | None) -> dict[str, str]:
    """Return what a target says about its origin."""
    digests = [digest for each in sources if (digest := source_digest(each)) is not None]
    metadata = {"source": origin, "source_digest": ", ".join(digests), "plan": _plan_text(plan)}
    return {key: text for key, text in metadata.items() if text}


def _make_resumable(
    writing: Writing, sink: Sink, sources: Sequence[Tensors], recipe: object, going: Sequence[Outgoing]
) -> None:
    """Have what is written kept for a later conversion, or remark why that is impossible."""
    if not sink.resumes:
        writing.remarks.append(f"{sink.format} cannot be resumed: it is written from its beginning")
        return
    if not isinstance(writing.fs, LocalFilesystem):
        writing.remarks.append("only files of this machine can be resumed: nothing is kept")
        return
    identities = [source_identity(each, writing.fs) for each in sources]
    if None in identities:
        writing.remarks.append(_unrecognised(sources[identities.index(None)]))
        return
    how = [FORM, sink.format, os.path.basename(writing.path), writing.metadata]
    options = [writing.max_shard_bytes, writing.compression, recipe]
    writing.key = conversion_key(identities, [how, options], going)


def _unrecognised(source: Tensors) -> str:
    """Return the remark about a source without an identity."""
    if source.prefix == ValuesSource.path:
        return "arrays in memory cannot be recognised later: nothing is kept"
    if isinstance(source, TensorFile):
        return f"{source.prefix} cannot be recognised later: nothing is kept"
    return (
        f"this view of {source.prefix} cannot be recognised later: nothing is kept; "
        "convert the file itself, and have convert make the changes"
    )


def _check_shards(max_shard_bytes: int | None, format: str) -> None:  # noqa: A002
    """Raise ValueError if a format has no shards, or none of that size."""
    if max_shard_bytes is None:
        return
    if max_shard_bytes < 1:
        raise ValueError(f"max_shard_bytes: got {max_shard_bytes}, want at least 1")
    if not TARGETS[format].has_shards:
        raise ValueError(f"max_shard_bytes: {format} is not written in several files")


def _compression(name: str | None, format: str) -> str:  # noqa: A002
    """Return the compression of a target; ValueError if its format does not have it."""
    choices = TARGETS[format].compressions
    if name is None or name in choices:
        return name or choices[0]
    if len(choices) > 1:
        near = did_you_mean(closest_names(name, choices))
        raise ValueError(f"compression: got {name!r}, want one of {', '.join(choices)}{near}")
    only = "none" if choices[0] == "none" else f"only {choices[0]}"
    raise ValueError(f"compression: got {name!r}, but {format} has {only}")


def _check_names(tensors: Iterable[Outgoing]) -> None:
    """Raise NameConflictError if several sources have tensors of one name."""
    owners: dict[str, TensorMapping] = {}
    twice: dict[str, list[str]] = {}
    for each in tensors:
        owner = owners.setdefault(each.name, each.tensors)
        if owner is not each.tensors:
            twice.setdefault(each.name, [owner.prefix]).append(each.tensors.prefix)
    if twice:
        raise NameConflictError("tensors of one name in several sources", names=twice)


def _plan_text(plan: plans.Plan | None) -> str:
    text = "" if plan is None else plan.to_toml()
    return text if len(text) <= _MOST_PLAN else ""


def _advance(total: int, progress: Progress | None) -> Callable[[int], None]:
    """Return a function for sinks to call with the bytes just written; it reports the total to the caller."""
    done = 0

    def advance(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        if progress is not None:
            progress(done, total)

    return advance
