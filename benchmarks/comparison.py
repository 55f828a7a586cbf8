"""What each library makes of the same small files: the cells of docs/comparison.md.

::

    pip install '.[test]' h5py tbparse
    python -m benchmarks.comparison --output benchmarks/results/comparison.md

Nothing is timed. A cell is what a library returned, in a few words, or its error. A library that has no
function for a task has no cell.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import ckptfmt
from benchmarks.environment import QUIET, versions
from benchmarks.small_files import (
    DIGITS,
    EVENTS,
    GOLDEN,
    RECORDS,
    ROOT,
    as_hdf5,
    as_safetensors,
    bfloat16,
    counted,
    damaged_checkpoint,
    damaged_events,
    events_of_ckptfmt,
    events_of_tensorflow,
    flip,
    from_hdf5,
    from_safetensors,
    frozen_by_ckptfmt,
    frozen_by_tensorflow,
    hdf5_strings,
    read_all_of_ckptfmt,
    read_all_of_tensorflow,
    readable_of_ckptfmt,
    readable_of_tensorflow,
    reader,
    records_of_tensorflow,
    rows_of_safetensors,
    rows_of_tensorflow,
    run_by_tensorflow,
    safetensors_strings,
    scalars_of_tensorflow,
    signatures_of_ckptfmt,
    signatures_of_tensorflow,
    strings,
    tables_of_ckptfmt,
    tables_of_tbparse,
    weights,
    without_data,
    written_by_tensorflow,
    wrong,
)

LIBRARIES = ("ckptfmt", "tensorflow", "safetensors", "h5py", "tbparse")

Cell = Callable[[Path], str]
"""Does a task, given an empty folder, and says what came of it."""

TASKS: dict[str, dict[str, Cell]] = {
    "names and shapes of a V2 checkpoint": {
        "ckptfmt": lambda folder: counted(ckptfmt.open(DIGITS).entries, "tensors"),
        "tensorflow": lambda folder: counted(reader(DIGITS).get_variable_to_shape_map(), "tensors"),
    },
    "the same, data file missing": {
        "ckptfmt": lambda folder: counted(ckptfmt.open(without_data(folder)).entries, "tensors"),
        "tensorflow": lambda folder: counted(
            reader(without_data(folder)).get_variable_to_shape_map(), "tensors"
        ),
    },
    "all tensors of a V2 checkpoint as NumPy arrays": {
        "ckptfmt": lambda folder: read_all_of_ckptfmt(DIGITS),
        "tensorflow": lambda folder: read_all_of_tensorflow(DIGITS),
    },
    "all tensors of a V1 checkpoint": {
        "ckptfmt": lambda folder: read_all_of_ckptfmt(GOLDEN / "v1_saver" / "model.ckpt-1"),
        "tensorflow": lambda folder: read_all_of_tensorflow(GOLDEN / "v1_saver" / "model.ckpt-1"),
    },
    "all tensors of a V1 checkpoint in slices": {
        "ckptfmt": lambda folder: read_all_of_ckptfmt(GOLDEN / "v1_sliced" / "v1.ckpt"),
        "tensorflow": lambda folder: read_all_of_tensorflow(GOLDEN / "v1_sliced" / "v1.ckpt"),
    },
    "some rows of a tensor": {
        "ckptfmt": lambda folder: (
            f"shape {ckptfmt.open(GOLDEN / 'partitioned_variable').slice('emb/table')[2:5].shape}"
        ),
        "tensorflow": lambda folder: rows_of_tensorflow(GOLDEN / "partitioned_variable" / "model.ckpt-3"),
        "safetensors": rows_of_safetensors,
        "h5py": lambda folder: f"shape {from_hdf5(as_hdf5(folder, weights()), slice(2, 5)).shape}",
    },
    "one bit of a weight changed": {
        "ckptfmt": lambda folder: readable_of_ckptfmt(damaged_checkpoint(folder)),
        "tensorflow": lambda folder: readable_of_tensorflow(damaged_checkpoint(folder)),
        "safetensors": lambda folder: wrong(from_safetensors(flip(as_safetensors(folder, weights()), -9))),
        "h5py": lambda folder: wrong(from_hdf5(flip(as_hdf5(folder, weights()), -9))),
    },
    "the same, HDF5 written with fletcher32=True": {
        "h5py": lambda folder: wrong(from_hdf5(flip(as_hdf5(folder, weights(), fletcher32=True), -9))),
    },
    "weights of a Keras 3 checkpoint by their names, without the model": {
        "ckptfmt": lambda folder: ", ".join(list(ckptfmt.open(DIGITS).weights)[2:4]) + ", …",
        "tensorflow": lambda folder: sorted(reader(DIGITS).get_variable_to_shape_map())[-2] + ", …",
    },
    "bfloat16": {
        "ckptfmt": lambda folder: str(bfloat16().dtype),
        "tensorflow": lambda folder: str(
            reader(GOLDEN / "dtypes" / "ckpt").get_tensor("bfloat16/vector").dtype
        ),
        "safetensors": lambda folder: str(from_safetensors(as_safetensors(folder, {"w": bfloat16()})).dtype),
        "h5py": lambda folder: str(from_hdf5(as_hdf5(folder, {"w": bfloat16()})).dtype),
    },
    "tensors of strings": {
        "ckptfmt": lambda folder: counted(strings(), "arrays"),
        "tensorflow": lambda folder: read_all_of_tensorflow(GOLDEN / "strings" / "ckpt"),
        "safetensors": safetensors_strings,
        "h5py": hdf5_strings,
    },
    "signatures of a SavedModel": {
        "ckptfmt": lambda folder: signatures_of_ckptfmt(GOLDEN / "saved_model" / "model"),
        "tensorflow": lambda folder: signatures_of_tensorflow(GOLDEN / "saved_model" / "model"),
    },
    "run a SavedModel": {"tensorflow": lambda folder: run_by_tensorflow(GOLDEN / "saved_model" / "model")},
    "freeze a SavedModel": {
        "ckptfmt": lambda folder: frozen_by_ckptfmt(GOLDEN / "saved_model" / "model"),
        "tensorflow": lambda folder: frozen_by_tensorflow(GOLDEN / "saved_model" / "model"),
    },
    "write a checkpoint": {"tensorflow": written_by_tensorflow},
    "event file of TensorFlow 1": {
        "ckptfmt": lambda folder: tables_of_ckptfmt(EVENTS / "tf1"),
        "tensorflow": lambda folder: scalars_of_tensorflow(EVENTS / "tf1"),
        "tbparse": lambda folder: tables_of_tbparse(EVENTS / "tf1"),
    },
    "event files of TensorFlow 2, only scalars": {
        "ckptfmt": lambda folder: tables_of_ckptfmt(EVENTS / "restarted"),
        "tensorflow": lambda folder: scalars_of_tensorflow(EVENTS / "restarted"),
        "tbparse": lambda folder: tables_of_tbparse(EVENTS / "restarted"),
    },
    "event file of TensorFlow 2, with tensors of any shape": {
        "ckptfmt": lambda folder: tables_of_ckptfmt(EVENTS / "tf2"),
        "tensorflow": lambda folder: scalars_of_tensorflow(EVENTS / "tf2"),
        "tbparse": lambda folder: tables_of_tbparse(EVENTS / "tf2"),
    },
    "event file, one bit changed": {
        "ckptfmt": lambda folder: events_of_ckptfmt(damaged_events(folder)),
        "tensorflow": lambda folder: events_of_tensorflow(damaged_events(folder)),
        "tbparse": lambda folder: tables_of_tbparse(damaged_events(folder)),
    },
    "examples of a TFRecord file": {
        "ckptfmt": lambda folder: counted([r.example() for r in ckptfmt.open_records(RECORDS)], "examples"),
        "tensorflow": lambda folder: records_of_tensorflow(RECORDS),
    },
}


def measure(cell: Cell) -> str:
    """Return what a cell says, or its error, in a line."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            said = cell(Path(folder))
        except ImportError as error:
            said = f"not measured: {error}"
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
    said = " ".join(said.split()).replace(folder + os.sep, "").replace(str(ROOT) + os.sep, "")
    return said[:200].replace("|", "\\|")


def main() -> None:
    """Print the cells, and write them to a file if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    os.environ.update(QUIET)
    lines = ["# Comparison", "", ", ".join(f"{name} {version}" for name, version in versions().items()), ""]
    for task, cells in TASKS.items():
        lines += [f"## {task}", "", "| library | what came of it |", "|---|---|"]
        lines += [f"| {library} | {measure(cells[library])} |" for library in LIBRARIES if library in cells]
        lines.append("")
    text = "\n".join(lines)
    sys.stdout.write(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
