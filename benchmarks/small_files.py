"""How each library does the tasks of the comparison, on files of a few kilobytes."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import ckptfmt

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "data" / "golden"
DIGITS = ROOT / "examples" / "digits" / "ckpt-10"
SAVER = GOLDEN / "saver" / "model.ckpt-20"
EVENTS = ROOT / "tests" / "data" / "events"
RECORDS = ROOT / "tests" / "data" / "records" / "train-00000-of-00002"


def reader(prefix: Path) -> Any:  # noqa: ANN401
    """Return TensorFlow's reader of a checkpoint."""
    import tensorflow as tf

    return tf.train.load_checkpoint(str(prefix))


def weights() -> dict[str, Any]:
    """Return what safetensors and h5py store for their cells: float32, made of a seed."""
    return {"w": np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)}


def as_safetensors(folder: Path, arrays: dict[str, Any]) -> Path:
    """Write arrays with safetensors."""
    from safetensors.numpy import save_file

    save_file(arrays, folder / "w.safetensors")
    return folder / "w.safetensors"


def as_hdf5(folder: Path, arrays: dict[str, Any], **options: Any) -> Path:  # noqa: ANN401
    """Write arrays with h5py."""
    import h5py

    with h5py.File(folder / "w.h5", "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **options)
    return folder / "w.h5"


def from_hdf5(path: Path, key: Any = ...) -> Any:  # noqa: ANN401
    """Read the array ``w`` with h5py."""
    import h5py

    with h5py.File(path) as file:
        return file["w"][key]


def from_safetensors(path: Path) -> np.ndarray:
    """Read the array ``w`` with safetensors."""
    from safetensors.numpy import load_file

    return load_file(path)["w"]


def flip(path: Path, offset: int) -> Path:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    return path


def wrong(array: np.ndarray) -> str:
    """Say how many weights were read wrongly, without an error."""
    return f"no error, {(array != weights()['w']).sum()} wrong value"


def without_data(folder: Path) -> Path:
    """Return the prefix of a checkpoint whose data file is missing."""
    shutil.copy(f"{SAVER}.index", folder / "model.ckpt-20.index")
    return folder / "model.ckpt-20"


def damaged_checkpoint(folder: Path) -> Path:
    """Return the prefix of a checkpoint with one wrong bit in ``layer/b``."""
    prefix = without_data(folder)
    data = folder / "model.ckpt-20.data-00000-of-00001"
    shutil.copyfile(f"{SAVER}.data-00000-of-00001", data)
    flip(data, 17)
    return prefix


def damaged_events(folder: Path) -> Path:
    """Return an event file with a wrong bit in its middle record."""
    path = folder / "events.out.tfevents.1.host"
    shutil.copyfile(next((EVENTS / "tf1").iterdir()), path)
    index = ckptfmt.open_records(path).scan()
    return flip(path, index[len(index) // 2].offset + 20)


def counted(values: Iterable[object], what: str) -> str:
    """Say how many there are."""
    return f"{len(list(values))} {what}"


def read_all_of_ckptfmt(prefix: Path) -> str:
    with ckptfmt.open(prefix) as ckpt:
        return counted(ckpt.read(), "arrays")


def read_all_of_tensorflow(prefix: Path) -> str:
    opened = reader(prefix)
    return counted([opened.get_tensor(name) for name in opened.get_variable_to_shape_map()], "arrays")


def readable_of_ckptfmt(prefix: Path) -> str:
    report = ckptfmt.open(prefix).verify()
    return f"{report.tensors_checked} of {report.tensors} tensors; {report.problems[0].message}"


def readable_of_tensorflow(prefix: Path) -> str:
    opened, intact, error = reader(prefix), 0, ""
    for name in opened.get_variable_to_shape_map():
        try:
            opened.get_tensor(name)
            intact += 1
        except Exception as caught:
            error = f"{type(caught).__name__}: {caught}"
    return f"{intact} of {len(opened.get_variable_to_shape_map())} tensors; {error}"


def rows_of_tensorflow(prefix: Path) -> str:
    import tensorflow as tf

    read = tf.raw_ops.RestoreV2(
        prefix=str(prefix), tensor_names=["emb/table"], shape_and_slices=["7 4 2,3:0,4"], dtypes=[tf.float32]
    )
    return f"shape {read[0].shape}"


def rows_of_safetensors(folder: Path) -> str:
    from safetensors import safe_open

    with safe_open(as_safetensors(folder, weights()), "np") as file:
        return f"shape {file.get_slice('w')[2:5].shape}"


def signatures_of_ckptfmt(path: Path) -> str:
    signature = ckptfmt.open_saved_model(path).signatures["serving_default"]
    return f"{list(signature.inputs)} to {list(signature.outputs)}"


def signatures_of_tensorflow(path: Path) -> str:
    import tensorflow as tf

    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    return f"{list(signature.structured_input_signature[1])} to {list(signature.structured_outputs)}"


def run_by_tensorflow(path: Path) -> str:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return f"output of shape {loaded.signatures['serving_default'](x=tf.zeros((1, 2)))['output_0'].shape}"


def frozen_by_ckptfmt(path: Path) -> str:
    loaded = ckptfmt.open_saved_model(path)
    frozen = ckptfmt.freeze(loaded.meta_graph, loaded.variables, "StatefulPartitionedCall")
    return f"{len(frozen)} nodes, {len(frozen.functions)} functions"


def frozen_by_tensorflow(path: Path) -> str:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    loaded = tf.saved_model.load(str(path))  # must live as long as its functions
    signature = loaded.signatures["serving_default"]
    return counted(convert_variables_to_constants_v2(signature).graph.as_graph_def().node, "nodes")


def written_by_tensorflow(folder: Path) -> str:
    import tensorflow as tf

    tf.raw_ops.SaveV2(
        prefix=str(folder / "new"),
        tensor_names=["w"],
        shape_and_slices=[""],
        tensors=[np.zeros(3, np.float32)],
    )
    return counted(ckptfmt.open(folder / "new"), "tensor")


def scalars_of_tensorflow(path: Path) -> str:
    from tensorflow.python.summary.summary_iterator import summary_iterator

    files = sorted(path.iterdir())
    values = [
        value for file in files for event in summary_iterator(str(file)) for value in event.summary.value
    ]
    return counted(values, "values, as messages")


def events_of_tensorflow(path: Path) -> str:
    from tensorflow.python.summary.summary_iterator import summary_iterator

    count = 0
    try:
        for _ in summary_iterator(str(path)):
            count += 1
    except Exception as error:
        return f"{count} events, then {type(error).__name__}"
    return f"{count} events"


def events_of_ckptfmt(path: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log = ckptfmt.open_events(path)
        return f"{len(list(log))} events, {len(log.damage)} damaged stretch reported"


def tables_of_tbparse(path: Path) -> str:
    from tbparse import SummaryReader

    read = SummaryReader(str(path))
    return ", ".join(
        f"{len(getattr(read, kind))} {kind}"
        for kind in ("scalars", "tensors", "histograms", "images", "text")
    )


def tables_of_ckptfmt(path: Path) -> str:
    log = ckptfmt.open_events(path)
    kinds = ("scalars", "tensors", "histograms", "images", "text")
    return ", ".join(f"{sum(map(len, getattr(log, kind).values()))} {kind}" for kind in kinds)


def records_of_tensorflow(path: Path) -> str:
    import tensorflow as tf

    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    return counted([tf.train.Example.FromString(record) for record in records], "examples")


def strings() -> dict[str, np.ndarray]:
    """Return an array of strings, as it is in a checkpoint."""
    return ckptfmt.open(GOLDEN / "strings" / "ckpt").read()


def hdf5_strings(folder: Path) -> str:
    array = np.array([b"one", b"two\xff"], dtype=object)
    import h5py

    path = as_hdf5(folder, {"w": array}, dtype=h5py.string_dtype())
    return str(list(from_hdf5(path)) == list(array))


def safetensors_strings(folder: Path) -> str:
    return str(as_safetensors(folder, {"w": np.array([b"one", b"two\xff"], dtype=object)}))


def bfloat16() -> np.ndarray:
    return ckptfmt.open(GOLDEN / "dtypes" / "ckpt")["bfloat16/vector"]
