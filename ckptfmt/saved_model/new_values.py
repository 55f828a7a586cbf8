"""New values for the variables of a SavedModel: which tensor each gets, and whether it fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ckptfmt.arrays.convert import as_array
from ckptfmt.errors import (
    CheckpointNotFoundError,
    CkptfmtError,
    GraphError,
    NameConflictError,
    NameNotFoundError,
    UnsupportedError,
)
from ckptfmt.graph.attributes import PartialShape
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.ops import RESTORE_OPS
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.saved_model.draft import Draft, NewTensor
from ckptfmt.saved_model.restored import restored_tensors
from ckptfmt.tensors.checkpoint import Checkpoint
from ckptfmt.tensors.mapping import TensorMapping
from ckptfmt.text.closest import closest_names
from ckptfmt.text.quoting import listed

_LISTED = 5
"""Tensors that an error names."""


def stored_tensors(draft: Draft) -> dict[str, NewTensor]:
    """Return the tensors of the model as the edits have left them, by the names in its checkpoint.

    Raises CheckpointNotFoundError if the checkpoint does not exist.
    """
    if draft.tensors is not None:
        return draft.tensors
    checkpoint = draft.model.checkpoint
    if not isinstance(checkpoint, Checkpoint):
        what = "the model has no checkpoint, which says what its variables are"
        raise CheckpointNotFoundError(what, file=draft.model.directory)
    return {
        name: NewTensor(checkpoint, name, entry.dtype, entry.shape, entry.slices)
        for name, entry in checkpoint.entries.items()
    }


def replace_values(draft: Draft, values: Mapping[str, Mapping[str, Any]], *, keep_rest: bool) -> None:
    """Give the variables of a model new values, those of the mapping that has each name.

    Raises
    ------
    NameNotFoundError
        A variable has no new value; or, with ``keep_rest``, a value is that of no variable.
    NameConflictError
        A variable has different values under several of its names.
    GraphError
        A value has another shape or dtype than the variable.
    CheckpointNotFoundError
        The model has no checkpoint.
    UnsupportedError
        The graph restores only checkpoints in the V1 format.
    """
    _check_format(draft)
    tensors = dict(stored_tensors(draft))
    # What the objects are does not change with their values.
    wanted = [name for name in tensors if name != OBJECT_GRAPH_KEY]
    file = draft.model.file
    if not tensors:
        raise GraphError("no variables are left; call with_variables() before to_frozen()", file=file)
    names = _Names(draft)
    chosen: dict[str, str] = {}
    for name in wanted:
        several = [each for each in names.of(name) if each in values]
        if several:
            chosen[name] = several[0]
            _check_alike(name, several, values, file)
    if keep_rest:
        known = {each for name in wanted for each in names.of(name)}
        unknown = [name for name in values if name not in known and name != OBJECT_GRAPH_KEY]
        if unknown:
            close = closest_names(unknown[0], known)
            what = f"the model has no variables {listed(unknown)}"
            raise NameNotFoundError(
                unknown[0], file=file, noun="variable", close_matches=close, names=unknown, what=what
            )
    elif missing := [name for name in wanted if name not in chosen]:
        close = closest_names(missing[0], list(values)) if len(missing) == 1 else []
        what = (
            f"no new values for {len(missing)} of {len(wanted)} variables: {listed(missing, _LISTED)}; "
            "rename the tensors, or pass keep_rest=True to keep the old values of these"
        )
        raise NameNotFoundError(
            missing[0], file=file, noun="variable", close_matches=close, names=missing, what=what
        )
    misfits = []
    shapes = _shapes(draft)
    for name, given in chosen.items():
        old = tensors[name]
        shape = old.shape if old.slices else shapes.get(name, old.shape)
        tensors[name] = old._replace(values=values[given], name=given, shape=shape)
        misfits += _misfit(name, tensors[name])
    if misfits:
        more = f"; and {len(misfits) - _LISTED} more" if len(misfits) > _LISTED else ""
        raise GraphError(f"values do not fit: {'; '.join(misfits[:_LISTED])}{more}", file=file)
    draft.tensors = tensors


def _shapes(draft: Draft) -> dict[str, PartialShape]:
    """Return the shapes that the graphs say tensors must have, as far as they do.

    A later value of a table may have more keys than the one that is stored, and some variables have no fixed
    shape.
    """
    shapes: dict[str, PartialShape] = {}
    for message in draft.message.meta_graphs:
        try:
            restored = restored_tensors(MetaGraph(message, draft.model.file))
        except CkptfmtError:
            continue  # then the shapes of the stored tensors count
        shapes |= {name: each.shape for name, each in restored.items() if shapes.get(name) is None}
    return shapes


def _check_alike(name: str, given: Sequence[str], values: Mapping[str, Mapping[str, Any]], file: str) -> None:
    """Raise NameConflictError if a tensor gets several values, under several of its names."""
    for other in given[1:]:
        first, second = (np.asarray(values[each][each]) for each in (given[0], other))
        if not np.array_equal(first, second):
            raise NameConflictError("several values", names={name: given}, file=file)


def _check_format(draft: Draft) -> None:
    """Raise UnsupportedError if the graph restores variables only from checkpoints in the V1 format."""
    for meta in draft.message.meta_graphs:
        ops = {node.op for node in meta.graph_def.node if node.op in RESTORE_OPS}
        if ops and "RestoreV2" not in ops:
            what = "the graph restores V1 checkpoints only, which are not written; to_frozen() works"
            raise UnsupportedError(what, file=draft.model.file)


class _Names:
    """The names that the tensors of a model go by: in its checkpoint, in its graph, and of its objects."""

    def __init__(self, draft: Draft) -> None:
        self._others: dict[str, list[str]] = {}
        for meta in draft.model.meta_graphs:
            narrowed = draft.model.narrowed(meta)
            for node, source in narrowed.variables.sources.items():
                if source.region is None:
                    self._others.setdefault(source.name, []).append(node)
            keys: dict[str, list[str]] = {}
            for variable in narrowed.object_variables:
                if variable.key is not None:
                    keys.setdefault(variable.name, []).append(variable.key)
            for name, named in keys.items():
                if len(named) == 1 or _are_same(draft, named):
                    for key in named:
                        self._others.setdefault(key, []).append(name)

    def of(self, name: str) -> Iterator[str]:
        """Iterate over the names of a tensor, first the one in the checkpoint."""
        yield from dict.fromkeys((name, *self._others.get(name, ())))


def _are_same(draft: Draft, keys: Sequence[str]) -> bool:
    """Whether tensors are one variable that is stored several times, as in models that Keras 3 exports."""
    checkpoint = draft.model.checkpoint
    known = [] if checkpoint is None else [checkpoint.entries[key] for key in keys]
    return len({(each.dtype, each.shape, each.crc32c) for each in known}) == 1 and known[0].crc32c is not None


def _misfit(name: str, wanted: NewTensor) -> list[str]:
    """Return what is wrong with the new value of a tensor, if anything."""
    values, given = wanted.values, wanted.name
    if isinstance(values, TensorMapping):
        new = values.entries[given]
        dtype, shape = new.dtype.name, new.shape
    else:
        value = values[given]
        # Lists and Python's numbers have no dtype of their own: they get the one of the variable.
        try:
            array = as_array(value, None if hasattr(value, "dtype") else wanted.dtype)
        except (TypeError, ValueError) as error:
            return [f"{name}: {error}"]
        shape = array.shape
        is_text = wanted.dtype.name == "string" and array.dtype.kind in "OSU"
        same = is_text or array.dtype == np.dtype(wanted.dtype.numpy)
        dtype = wanted.dtype.name if same else str(array.dtype)
    sizes = wanted.shape
    fits = sizes is None or (
        len(sizes) == len(shape) and all(want in (None, got) for want, got in zip(sizes, shape, strict=True))
    )
    if fits and dtype == wanted.dtype.name:
        return []
    want = "" if sizes is None else list(sizes)
    return [f"{name}: got {dtype}{list(shape)}, want {wanted.dtype.name}{want}"]
