"""Configurations that no Keras writes: a translation or one of our errors, in bounded time and memory."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ckptfmt import Limits
from ckptfmt.errors import CkptfmtError, CorruptError, LimitError, UnsupportedError
from ckptfmt.keras.translate import translate

DATA = Path(__file__).parents[1] / "data" / "keras"

VALUES: list[Any] = [None, True, -1, 10**400, 0.5, "x", "Functional", [], [[]], {}, {"class_name": "Dense"}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Iterate over the places of all values in a JSON value."""
    yield path
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield from places(child, (*path, key))


@contextmanager
def changed(config: Any, path: tuple[Any, ...], value: Any) -> Iterator[Any]:
    """Put another value into a place of a configuration for a while; none at all if the value is ``...``."""
    if not path:
        yield value
        return
    at = config
    for key in path[:-1]:
        at = at[key]
    before = copy.copy(at)
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    yield config
    at.clear()
    at.update(before) if isinstance(at, dict) else at.extend(before)


@pytest.mark.parametrize(
    "name", ["functional.json", "operations.json", "graph_operations.json", "saved_model.json"]
)
def test_changed_configurations_are_translated_or_refused(name: str) -> None:
    config = json.loads((DATA / name).read_bytes())
    translate(config).raise_if_refused()
    count = 0
    for at, path in enumerate(list(places(config))):
        for value in ..., VALUES[at % len(VALUES)], VALUES[(at * 7 + 3) % len(VALUES)]:
            if not path and value is ...:
                continue
            count += 1
            with changed(config, path, value) as new:
                try:
                    translation = translate(new, file="model.json")
                    json.dumps(translation.config)
                    translation.raise_if_refused("model.json")
                except CkptfmtError as error:
                    assert error.file == "model.json", (path, value)  # noqa: PT017
    assert count > 1000


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", CorruptError, "not JSON"),
        ("[]", CorruptError, "got no object with class_name and config"),
        ("{}", CorruptError, "got no object with class_name and config"),
        ('{"class_name": "Functional", "config": {}}', CorruptError, "got no list of layers"),
        (
            '{"class_name": "Sequential", "config": {"layers": [3]}}',
            CorruptError,
            "got a layer without class_name",
        ),
        (
            '{"class_name": "Sequential", "config": [], "keras_version": "1.2.2"}',
            *(UnsupportedError, "of Keras 1.2.2: load and save the model with Keras 2"),
        ),
        (b"\xff\xfe\x00", CorruptError, "not JSON"),
    ],
)
def test_what_is_no_model_is_refused(text: str | bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^m.json: .*{message}"):
        translate(text, file="m.json")


@pytest.mark.parametrize("depth", [300, 100_000])
def test_deep_configurations_are_refused(depth: int) -> None:
    text = '{"class_name": "Sequential", "config": {"layers": [' * depth + "]}}" * depth
    with pytest.raises(CkptfmtError, match=r"not JSON|nested|JSON values"):
        translate(text)
    with pytest.raises(LimitError, match="max_depth"):
        translate(text[: 51 * 100] + "]}}" * 100)


def test_a_deep_configuration_within_the_limit_is_translated() -> None:
    text = '{"class_name": "Sequential", "config": {"name": "s", "layers": [' * 84 + "]}}" * 84
    inner = translate(text, limits=Limits(max_depth=256)).config
    for _ in range(83):
        (inner,) = inner["config"]["layers"]
    assert inner["config"]["layers"] == []


def test_values_that_contain_themselves_are_refused() -> None:
    config: dict[str, Any] = {"class_name": "Sequential", "config": {"layers": []}}
    config["config"]["layers"] += [config] * 10
    with pytest.raises(LimitError):
        translate(config)


def test_many_layers_take_linear_time() -> None:
    layers: list[dict[str, Any]] = [
        {
            "class_name": "InputLayer",
            "config": {"batch_input_shape": [None, 3]},
            "name": "i",
            "inbound_nodes": [],
        }
    ]
    before = "i"
    for at in range(10_000):
        call = [[before, 0, 0, {"y": [before, 0, 0]}]]
        before = f"l{at}"
        layers.append(
            {
                "class_name": "TFOpLambda",
                "config": {"name": before, "function": "math.squared_difference"},
                "name": before,
                "inbound_nodes": call,
            }
        )
    config = {"name": "m", "layers": layers, "input_layers": [["i", 0, 0]], "output_layers": [[before, 0, 0]]}
    start = time.process_time()
    translation = translate({"class_name": "Functional", "config": config})
    assert time.process_time() - start < 10
    assert len(translation.config["config"]["layers"]) == 20_001


def test_code_is_never_decoded() -> None:
    """The code of a Lambda is bytes of ``marshal``, which nothing may load."""
    code = {"class_name": "__lambda__", "config": {"value": "4wEAAAA", "defaults": None, "closure": None}}
    for function in (code, ["4wEAAAA\n", None, None], "own_function"):
        layer = {
            "class_name": "Lambda",
            "config": {"name": "f", "function": function, "batch_input_shape": [1]},
        }
        (refused,) = translate(
            {"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
        ).refused
        assert refused == ("f", "Lambda", "is code of Python, which nothing here runs")
