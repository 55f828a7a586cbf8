"""Shipped files: the plans that come with the package, as texts by name.

Each is a file of the folder ``shipped`` beside this module; ``keras-torch`` is ``shipped/keras-torch.toml``.
They are read as data of the package, so they are found in a zip file as well as in a folder.
"""

from __future__ import annotations

import importlib.resources
import re
from functools import cache

from ckptfmt.errors import PathNotFoundError
from ckptfmt.text.closest import closest_names, did_you_mean

_SUFFIX = ".toml"
_NAME = re.compile("[a-z0-9][a-z0-9-]*")


@cache
def shipped_names() -> tuple[str, ...]:
    """Return the names of all shipped plans, sorted."""
    folder = importlib.resources.files("ckptfmt.plans") / "shipped"
    files = (file.name for file in folder.iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX)))


def read_shipped(name: str) -> str:
    """Return the text of a shipped plan; PathNotFoundError, with near names, if there is no such plan."""
    if name not in shipped_names():
        near = closest_names(name, shipped_names(), ending=_SUFFIX)
        hint = did_you_mean(near) or f"; ckptfmt plans lists {', '.join(shipped_names())}"
        raise PathNotFoundError(f"no such file, and no plan of this name ships with ckptfmt{hint}", file=name)
    file = importlib.resources.files("ckptfmt.plans") / "shipped" / f"{name}{_SUFFIX}"
    return file.read_text(encoding="utf-8")


def may_be_shipped(path: str) -> bool:
    """Return whether a path has the form of a shipped plan's name."""
    return _NAME.fullmatch(path) is not None
