"""What type checkers say of programs that use the package: mypy, strict."""

from __future__ import annotations

from pathlib import Path

import pytest

PROGRAM = """
import os
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

import ckptfmt

Weights = dict[str, npt.NDArray[np.float32]]


def product(path: str | os.PathLike[str]) -> npt.NDArray[np.float32]:
    with ckptfmt.open(path) as ck:
        x: npt.NDArray[np.float32] = ck["w"]
        y: npt.NDArray[np.float32] = ck["w"] @ ck["w"]
        z: npt.NDArray[np.float32] = 2 * ck["w"] + x - ck["w"].T
        row: npt.NDArray[np.float32] = ck["w"][0]
        part: npt.NDArray[np.float32] = ck.slice("w")[:2]
        print(row, part, y @ z, np.sqrt(np.square(ck["w"]).sum()), ck["w"].astype(np.float64))
        return ck["w"] @ ck["w"]


def many(path: str) -> Weights:
    with ckptfmt.open(path) as ck:
        a: Weights = ck.read()
        b: Weights = dict(ck.items())
        c: Weights = {name: array for name, array in ck.items() if array.ndim == 2}
        d: Weights = ck.ema().read(copy=True)
        e: Mapping[str, npt.NDArray[np.float32]] = ck.model_variables()
        f: Mapping[str, npt.NDArray[np.float32]] = ck
        g: Mapping[str, npt.NDArray[np.float32]] = ck.restore(["w"])
        if (one := ck.get("w")) is not None:
            print(one @ one)
        ck.read(out={"w": np.empty((2, 2), np.float32)})
        return {**a, **b, **c, **d, **e, **f, **g}


def rows(ck: ckptfmt.Checkpoint) -> int:
    return ck["w"].shape[0]


def step(ck: ckptfmt.Checkpoint | ckptfmt.View) -> int:
    return int(ck["global_step"])


def words(ck: ckptfmt.Checkpoint) -> npt.NDArray[np.object_]:
    return ck["words"]


def total(ck: ckptfmt.Tensors) -> float:
    return float(sum(float(array.sum()) for array in ck.values()))


def empty(entry: ckptfmt.Entry) -> npt.NDArray[np.float32]:
    dtype: np.dtype[np.float32] = entry.dtype.numpy
    return np.empty(entry.shape, entry.dtype.numpy).astype(dtype)


def losses(path: str) -> npt.NDArray[np.float64]:
    scalars = ckptfmt.open_events(path).scalars["loss"]
    steps: npt.NDArray[np.int64] = scalars.steps
    print(np.diff(steps))
    values: npt.NDArray[np.float64] = scalars.values
    return values


def labels(path: str) -> list[npt.NDArray[np.int64]]:
    return [record.example()["label"] for record in ckptfmt.open_records(path)]


def constant(path: str) -> npt.NDArray[np.float32]:
    value: npt.NDArray[np.float32] = ckptfmt.read_graph(path).constants["w"]
    return ckptfmt.to_array(ckptfmt.to_proto(value))


def variable(path: str) -> npt.NDArray[np.float32]:
    with ckptfmt.open_saved_model(path) as model:
        return model.variables["kernel"]


# An array is an array, not Any: without its error, an ignore of --strict is one too many.
def wrong(ck: ckptfmt.Checkpoint) -> None:
    text: str = ck["w"]  # type: ignore[assignment]
    ck["w"].no_such_method()  # type: ignore[attr-defined]
    ck[0]  # type: ignore[index]
    print(text)
"""


def test_programs_with_typed_arrays_pass_strict_mypy(tmp_path: Path) -> None:
    mypy = pytest.importorskip("mypy.api", reason="mypy is not installed")
    (tmp_path / "program.py").write_text(PROGRAM)
    cache = f"--cache-dir={tmp_path}"
    output, errors, _ = mypy.run(["--strict", "--follow-imports=silent", cache, str(tmp_path / "program.py")])
    assert (output, errors) == ("Success: no issues found in 1 source file\n", "")
