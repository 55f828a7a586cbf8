"""Owners: the variable that a slot belongs to, judged by the slot's name.

TensorFlow names a slot ``VARIABLE/SLOT``, or ``SCOPE/VARIABLE/SLOT`` if it is made in a scope of the
optimizer. So a name is split at its last slash into a path and a slot, and the variable is looked for at the
end of the path.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from ckptfmt.checkpoint.entry import Entry
from ckptfmt.tensors.renaming import MAX_SCOPES, below_scopes
from ckptfmt.tensors.training_names import SLOTS

_PART = re.compile(r"(?:(?:(?:(?:p?a)?r)?t)?_)?[0-9]+")
"""A part of ``part_0``, the name of a part of a variable, that is cut at its beginning."""


def slot_variable(path: str, names: Collection[str]) -> str | None:
    """The variable that slots with known names belong to, by the path before the name, whatever their shape.

    The longest end of the path that is a variable, else the variable that the path is cut from (see
    :func:`_cut_variable`). A slot may have fewer axes than its variable, so the shape says nothing.
    """
    variable = next((end for end in _ends(path) if end in names), None)
    if variable is None and (cut := path.rpartition("/"))[2] in SLOTS:
        # Slots of one optimizer with names of their own: "VARIABLE/Adagrad/accumulator".
        variable = next((end for end in _ends(cut[0]) if end in names), None)
    return variable if variable is not None else _cut_variable(path, names)


def alike_variable(name: str, path: str, names: Collection[str], entries: Mapping[str, Entry]) -> str | None:
    """The variable that a slot with any other name belongs to: one of its shape and dtype.

    Optimizers that TensorFlow does not ship choose such names. ``VARIABLE`` is the path itself, or the end of
    it if that has a scope of its own: a variable ``b`` says little about ``a/b/kernel``, but ``layer/b``
    shows that in ``train/layer/b/kernel`` the optimizer repeats the whole name.
    """
    variable = path if path in names else below_scopes(path, names) or _cut_variable(path, names)
    return variable if variable is not None and is_alike(name, variable, entries) else None


def _cut_variable(path: str, names: Collection[str]) -> str | None:
    """The partitioned variable that a path is cut from: ``w``, of ``w/art_0`` in a scope ``train``.

    TensorFlow names a slot of ``w/part_0`` by what follows as many letters as that name has.
    If it is made in a scope, ``train/w/part_0/Adam``, the scope comes first and ``art_0/Adam`` follows; it is
    saved below the whole variable, as ``w/art_0/Adam``. Source: ``python/training/slot_creator.py:
    _create_slot_var``, ``real_slot_name``.
    """
    if not _PART.fullmatch(path.rpartition("/")[2]):
        return None
    return next((each for each in beginnings(path) if each in names), None)


def beginnings(path: str) -> Iterator[str]:
    """The scopes that a path is in, innermost first."""
    for _ in range(MAX_SCOPES):
        path = path.rpartition("/")[0]
        if not path:
            break
        yield path


def _ends(path: str) -> Iterator[str]:
    """A path, and what is left of it without its first scopes, longest first."""
    for _ in range(MAX_SCOPES):
        if not path:
            break
        yield path
        path = path.partition("/")[2]


def is_alike(name: str, variable: str, entries: Mapping[str, Entry]) -> bool:
    """Whether a tensor has the shape and dtype of a variable of floating-point numbers.

    Slots of a variable in 16 bits may also be kept in float32.
    """
    one, other = entries[name], entries[variable]
    is_same = one.dtype == other.dtype and one.dtype.is_floating
    return one.shape == other.shape and (is_same or is_master(name, variable, entries))


def may_be_slot(name: str, variable: str, entries: Mapping[str, Entry]) -> bool:
    """Whether the shape of a tensor is one that a slot of a variable may have.

    It is the variable's own, or that without some axes: Adafactor averages rows and columns separately.
    """
    axes = iter(entries[variable].shape)
    return all(size in axes for size in entries[name].shape)


def is_master(name: str, variable: str, entries: Mapping[str, Entry]) -> bool:
    """Whether a tensor of float32 has the shape of a variable in a shorter floating-point type."""
    one, other = entries[name], entries[variable]
    is_wider = one.dtype.name == "float32" and other.dtype.name in ("float16", "bfloat16")
    return is_wider and one.shape == other.shape
