"""``convert``: tensors of any source, through views, into a file of any format."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ckptfmt import plans
from ckptfmt.converting.conversion import Conversion
from ckptfmt.converting.sinks.outgoing import Outgoing, outgoing
from ckptfmt.converting.sinks.sink import Sink, Writing
from ckptfmt.converting.sources.open_tensors import open_tensors
from ckptfmt.converting.targets import load_sink, target_format
from ckptfmt.errors import ConversionError
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.tensors.tensors import Tensors
from ckptfmt.text.patterns import Pattern


def convert(
    source: Tensors | str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    to: str | None = None,
    plan: plans.Plan | str | os.PathLike[str] | None = None,
    select: Pattern | Iterable[Pattern] = (),
    exclude: Pattern | Iterable[Pattern] = (),
    model_only: bool = False,
    ema: bool = False,
    cast: Any = None,  # noqa: ANN401  (a dtype of any library)
    max_shard_bytes: int | None = None,
    compression: str | None = None,
    overwrite: bool = False,
    fs: Filesystem | None = None,
) -> Conversion:
    """Write the tensors of a file in another format."""
    files = filesystem_of(fs=fs)
    path = os.fspath(target)
    sink = load_sink(target_format(path, to))
    tensors = source if isinstance(source, Tensors) else open_tensors(source)
    view = _view(tensors, plan, select, exclude, model_only=model_only, ema=ema, cast=cast)
    going = [each for each in outgoing(view) if each.name != OBJECT_GRAPH_KEY]
    _check(sink, going, view.prefix)
    written = sink.write(
        going, Writing(files, path, overwrite, max_shard_bytes, compression, {"source": view.prefix})
    )
    return Conversion(
        tuple(written), sink.format, tuple(each.name for each in going), sum(each.nbytes for each in going)
    )


def _view(
    tensors: Tensors,
    plan: plans.Plan | str | os.PathLike[str] | None,
    select: Pattern | Iterable[Pattern],
    exclude: Pattern | Iterable[Pattern],
    *,
    model_only: bool,
    ema: bool,
    cast: Any,  # noqa: ANN401
) -> Tensors:
    """Return what is to be written, in the order of the options of ``ckptfmt copy``."""
    view = tensors
    if ema:
        view = (view if view.object_graph is None else view.by_full_name()).ema()
    if model_only:
        view = view.model_variables()
    if select or exclude:
        patterns = (select,) if isinstance(select, str) else tuple(select)  # type: ignore[arg-type]
        view = view.select(*patterns, exclude=exclude)
    if plan is not None:
        view = view.apply(plan)
    return view if cast is None else view.cast(cast)


def _check(sink: Sink, tensors: Iterable[Outgoing], file: str) -> None:
    """Raise ConversionError if the format cannot hold all tensors."""
    problems = {each.name: what for each in tensors if (what := sink.problem(each)) is not None}
    if problems:
        raise ConversionError(sink.format, problems, file=file)
