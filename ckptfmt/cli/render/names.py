"""Names of tensors on a terminal, without the end that all keys of variables share."""

from __future__ import annotations

from collections.abc import Container

from ckptfmt.object_graph.keys import VARIABLE_VALUE


def short_name(name: str, names: Container[str]) -> str:
    """Return a stored name without ``/.ATTRIBUTES/VARIABLE_VALUE``, unless that is another of the ``names``.

    ``ckptfmt show`` and ``ckptfmt ls`` take what is left as the same tensor.
    """
    short = name.removesuffix(VARIABLE_VALUE)
    return name if short == name or short in names else short
