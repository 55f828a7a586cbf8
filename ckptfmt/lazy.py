"""Packages that load a module when one of its names is first used (PEP 562).

For modules that every program could need but few do: those that explain what is wrong with a file, for
example. ``__init__.pyi`` of such a package says where its names are defined, and type checkers read it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def lazy_names(package: str, names: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package, given the names in each of its modules, as in ``"a b"``."""
    modules = {name: module for module, all_names in names.items() for name in all_names.split()}

    def load(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)  # the next use does not come here
        return value

    return load
