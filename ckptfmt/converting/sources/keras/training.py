"""Which tensors in files of Keras belong to its optimizers and metrics, judging by their paths.

Keras 2 stores variables of optimizers below ``optimizer_weights``; Keras 3 has a group for each of its
objects: ``optimizer/vars/0``, ``metrics/mean/vars/1``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ckptfmt.tensors.scope_variables import SETTING, SLOT

_OPTIMIZER = re.compile(r"optimizer_weights/|optimizer/(?:.+/)?vars/\d+\Z")
_METRIC = re.compile(r"(?:compile_)?metrics/(?:.+/)?vars/\d+\Z")


def keras_training(names: Iterable[str]) -> dict[str, str]:
    """Return the names that are not the model's variables, and what each is."""
    training: dict[str, str] = {}
    for name in names:
        if _OPTIMIZER.match(name):
            training[name] = SLOT
        elif _METRIC.match(name):
            training[name] = SETTING
    return training
