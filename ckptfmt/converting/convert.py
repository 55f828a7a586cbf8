"""``convert``: tensors of any source, through views, into a file of any format."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any

from ckptfmt import plans
from ckptfmt.converting.conversion import Conversion
from ckptfmt.converting.given import Convertible
from ckptfmt.converting.given_model import open_given
from ckptfmt.converting.naming import KINDS, STORED, named
from ckptfmt.converting.preparation import Changes, Destination, prepare
from ckptfmt.converting.targets import TARGETS, target_format
from ckptfmt.dtypes import as_dtype
from ckptfmt.integrity import Progress
from ckptfmt.keras.description import Config
from ckptfmt.limits import DEFAULT, Limits, check_limits
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.tensors.tensors import Tensors
from ckptfmt.text.patterns import Pattern
from ckptfmt.text.sizes import parse_size


def convert(
    source: Convertible,
    target: str | os.PathLike[str],
    *,
    to: str | None = None,
    names: str | None = None,
    config: Config | str | os.PathLike[str] | None = None,
    plan: plans.Plan | str | os.PathLike[str] | None = None,
    select: Pattern | Iterable[Pattern] = (),
    exclude: Pattern | Iterable[Pattern] = (),
    model_only: bool = False,
    ema: bool = False,
    cast: Any = None,  # noqa: ANN401  (a dtype of any library)
    max_shard_bytes: int | str | None = None,
    compression: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    verify: bool = False,
    progress: Progress | None = None,
    sync: bool = True,
    fs: Filesystem | None = None,
    limits: Limits = DEFAULT,
) -> Conversion:
    """Write tensors in the format of another program, or those of another program as a checkpoint.

    The target appears whole or not at all. Dtypes and names that its format cannot hold are an error before
    anything is written: nothing is widened or renamed silently. Tensors are streamed in pieces, so a target
    may be larger than memory. Bytes that do not change are copied as they are, and verified on the way.

    Parameters
    ----------
    source
        A path, as :func:`ckptfmt.open_tensors` takes it; a checkpoint, or a view of one; arrays by name,
        also in nested dictionaries; or a list of these, which are merged.
    target
        The file or the directory to write. In an existing directory, or one whose path ends in a slash, a
        file gets the usual name of its format, such as ``model.safetensors``. Missing directories are made.
    to
        The format, such as ``"safetensors"``, if the name of the target does not say it.
    names
        ``"stored"``, ``"full"`` or ``"path"``: the names that the tensors of an object-based checkpoint get,
        as in the file, as in the program (:meth:`Tensors.by_full_name`) or by object path
        (:meth:`Tensors.by_object_path`). By default weights get the names that :attr:`Tensors.weights` gives
        them, and the other tensors their object paths. A target that keeps objects, a checkpoint, keeps the
        stored names; a plan for one model, or one that ``match`` proposes, is about these too. Names that a
        view gave stay.
    config
        The configuration of a Keras model whose file has only weights, if the target is one of Keras: the
        result of ``model.to_json()`` or ``model.get_config()``, or the path of a file that has one.
    plan
        A plan, the path of one, or the name of one that ships with the package (``"keras-torch"``).
    select, exclude, model_only, ema, cast
        Which tensors are written, from which values and as which dtype, as for :meth:`Tensors.select`,
        :meth:`Tensors.model_variables`, :meth:`Tensors.ema` and :meth:`Tensors.cast`. They are applied in the
        order ``ema``, ``names``, ``model_only``, ``select`` and ``exclude``, ``plan``, ``cast``.
    max_shard_bytes
        Bytes after which another file is begun, as a number or as ``"5GB"``, for formats of several files:
        safetensors with the index that Hugging Face reads, and checkpoints. By default one file is written.
    compression
        The compression, for formats that have a choice.
    overwrite
        Whether an existing target may be replaced. It stays until the new one is whole.
    resume
        Whether to go on where an earlier call with ``resume`` stopped. What was written stays beside the
        target when a call fails or is killed, as ``TARGET.partial`` with ``TARGET.partial.journal``. A later
        call goes on if source, plan and options are the same, and starts over if not. Formats and
        sources that cannot be resumed are written from the beginning, as ``.remarks`` of the result says.
    verify
        Whether to read the target back and compare digests with the source. A target that differs stays, and
        raises CorruptError.
    progress
        Is called with the bytes written so far and the bytes to write in all.
    sync
        Whether the target outlasts a power cut as soon as it has its name.
    fs
        The file system that both paths lead into, if it is not this machine's.
    limits
        How much memory and work the source may take: see :class:`ckptfmt.Limits`.

    Raises
    ------
    ConversionError
        The format cannot hold some tensors: ``.problems`` has the reason for each. Pass ``cast``, ``exclude``
        or a plan.
    ValueError
        The format is not known, or does not have an option.
    MissingDependencyError
        The package that reads or writes a format is not installed.
    TensorNotFoundError, NameConflictError, PlanError
        A pattern matches nothing; two tensors would get one name; the plan does not fit.
    LimitError
        The format cannot hold so many tensors in one file, or the source takes more than ``limits``.
    PathNotFoundError, NotReadableError, CorruptError, ChecksumError, UnsupportedError
        The source does not exist, cannot be read, or is damaged. CorruptError also after ``verify``.
    AlreadyExistsError
        The target exists, and ``overwrite`` is not given.
    NotWritableError
        The system refuses to write.
    """
    check_limits(limits)
    if names is not None and names not in KINDS:
        raise ValueError(f"names: got {names!r}, want one of {', '.join(map(repr, KINDS))}")
    path = os.fspath(target)
    keeps_objects = TARGETS[target_format(path, to)].keeps_objects
    shard_bytes = parse_size(max_shard_bytes) if isinstance(max_shard_bytes, str) else max_shard_bytes
    rules = plan if plan is None or isinstance(plan, plans.Plan) else plans.Plan.read(plan, limits=limits)
    dtype = None if cast is None else as_dtype(cast)
    kind = STORED if names is None and keeps_objects else names
    apply = partial(
        _changed,
        plan=rules,
        names=kind,
        select=_listed(select),
        exclude=_listed(exclude),
        model_only=model_only,
        ema=ema,
        dtype=dtype,
    )
    recipe = [
        None if rules is None else rules.to_toml(),
        [kind, model_only, ema, None if dtype is None else dtype.name],
        [repr(_listed(select)), repr(_listed(exclude))],
    ]
    with ExitStack() as stack:
        given = open_given(source, target_format(path, to), config, fs, limits)
        if isinstance(source, (str, os.PathLike)):
            stack.enter_context(given.sources[0])
        preparation = prepare(
            given,
            Changes(apply, rules, recipe),
            Destination(path, to, shard_bytes, compression, overwrite, resume, sync),
            fs,
        )
        return preparation.carry_out(verify=verify, progress=progress)


def _listed(patterns: Pattern | Iterable[Pattern]) -> list[Pattern]:
    return [patterns] if isinstance(patterns, (str, re.Pattern)) else list(patterns)


def _changed(
    view: Tensors,
    *,
    plan: plans.Plan | None,
    names: str | None,
    select: list[Pattern],
    exclude: list[Pattern],
    model_only: bool,
    ema: bool,
    dtype: Any,  # noqa: ANN401
) -> Tensors:
    """Return what is to be written."""
    if ema:
        # Averages are found by the names of variables, which keys do not have.
        view = (view if view.object_graph is None else view.by_full_name()).ema()
    view = named(view, names, plan)
    if model_only:
        view = view.model_variables()
    if select or exclude:
        view = view.select(*select, exclude=exclude)
    if plan is not None:
        view = view.apply(plan)
    return view if dtype is None else view.cast(dtype)
