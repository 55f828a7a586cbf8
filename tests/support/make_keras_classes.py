"""The table ckptfmt/keras/classes.json: what Keras 3 can be given, by its signatures and those of Keras 2.

python -m tests.support.make_keras_classes

It needs keras and tf_keras. A test compares the table with the versions that are installed.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import ckptfmt

TABLE = Path(ckptfmt.__file__).parent / "keras" / "classes.json"

KINDS = ("layers", "initializers", "regularizers", "constraints")

_NOT_LAYERS = ("InputSpec", "Layer")


def classes(module: ModuleType, *, base: type) -> Iterator[tuple[str, type]]:
    """Iterate over the classes of a public module by name; aliases too."""
    for name in sorted(dir(module)):
        value = getattr(module, name)
        if inspect.isclass(value) and issubclass(value, base) and name not in _NOT_LAYERS:
            yield name, value


def arguments(cls: type) -> dict[str, Any]:
    """Return the arguments of a class and their defaults, those that it hands to its base classes too."""
    found: dict[str, Any] = {}
    for each in cls.__mro__:
        if "__init__" not in each.__dict__:
            continue
        parameters = list(inspect.signature(each.__init__).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                found.setdefault(parameter.name, parameter.default)
        takes_others = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters)
        if each.__name__ == "Layer" or not takes_others:
            break
    return found


def plain(value: Any) -> Any:
    """Return a default as JSON has it; None if it has no such value."""
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | list) else None


def table() -> dict[str, Any]:
    """Return the table: classes of each kind, the arguments of Keras 3, and those that only Keras 2 has."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tf_keras
    from keras.src.activations import ALL_OBJECTS_DICT

    found: dict[str, Any] = {"keras": keras.__version__, "tf_keras": tf_keras.__version__}
    for kind in KINDS:
        base = {"layers": "Layer", "initializers": "Initializer", "regularizers": "Regularizer"}.get(
            kind, "Constraint"
        )
        new, old = getattr(keras, kind), getattr(tf_keras, kind)
        entries: dict[str, Any] = {}
        for name, cls in classes(new, base=getattr(new, base)):
            takes = arguments(cls)
            predecessor = getattr(old, name, None)
            before = arguments(predecessor) if inspect.isclass(predecessor) else {}
            entry: dict[str, Any] = {"arguments": sorted(takes)}
            left_out = {
                key: plain(value)
                for key, value in sorted(before.items())
                if key not in takes and value is not inspect.Parameter.empty
            }
            if left_out:
                entry["keras_2"] = left_out
            if cls.__name__ != name:
                entry["class_name"] = cls.__name__
            entries[name] = entry
        found[kind] = entries
    found["activations"] = sorted(ALL_OBJECTS_DICT)
    return found


def text() -> str:
    """Return the text of the file: a line for each class, so that changes are easy to see."""
    lines = []
    for key, value in table().items():
        if isinstance(value, dict):
            entries = ",\n".join(
                f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items()
            )
            lines.append(f"{json.dumps(key)}: {{\n{entries}\n }}")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n " + ",\n ".join(lines) + "\n}\n"


if __name__ == "__main__":
    TABLE.write_text(text(), encoding="utf-8")
