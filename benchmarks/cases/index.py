"""Large indexes and small tensors: 100,000 and 1,000,000 tensors at full size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.case import Case, Job, Target
from benchmarks.cases.large import ckptfmt_read, tensorflow_read, tensorflow_read_in_order
from benchmarks.layout import middle_name

# --- ckptfmt ------------------------------------------------------------------------------------------------


def ckptfmt_open(name: str) -> Callable[[Path], object]:
    def run(inputs: Path) -> object:
        import ckptfmt

        return ckptfmt.open(inputs / name / "model")

    return run


def ckptfmt_list(name: str) -> Callable[[Path], object]:
    """List names, dtypes and shapes."""

    def run(inputs: Path) -> object:
        import ckptfmt

        entries = ckptfmt.open(inputs / name / "model").entries
        return {key: (entry.dtype, entry.shape) for key, entry in entries.items()}

    return run


def ckptfmt_columns(name: str) -> Callable[[Path], object]:
    """List the same as NumPy columns, with the location of each tensor."""

    def run(inputs: Path) -> object:
        import ckptfmt

        return ckptfmt.open(inputs / name / "model").entries.to_columns()

    return run


def ckptfmt_layer(inputs: Path) -> object:
    """List the names of one layer, selected by a pattern."""
    import ckptfmt

    return list(ckptfmt.open(inputs / "million" / "model").select("model/layer_1/*"))


def ckptfmt_names(name: str) -> Callable[[Path], object]:
    def run(inputs: Path) -> object:
        import ckptfmt

        return list(ckptfmt.open(inputs / name / "model"))

    return run


def ckptfmt_look_up(name: str) -> Callable[[Path], object]:
    def run(inputs: Path) -> object:
        import ckptfmt

        return ckptfmt.open(inputs / name / "model")[middle_name(inputs, name)]

    return run


def ckptfmt_one_by_one(inputs: Path) -> object:
    import ckptfmt

    checkpoint = ckptfmt.open(inputs / "many" / "model")
    return [checkpoint[name] for name in checkpoint]


def ckptfmt_training(inputs: Path) -> object:
    import ckptfmt

    return [ckptfmt.open(path).read() for path in _training(inputs)]


def ckptfmt_training_one_by_one(inputs: Path) -> object:
    import ckptfmt

    checkpoints = map(ckptfmt.open, _training(inputs))
    return [{name: checkpoint[name] for name in checkpoint} for checkpoint in checkpoints]


# --- TensorFlow ---------------------------------------------------------------------------------------------


def tensorflow_open(name: str) -> Callable[[Path], object]:
    def run(inputs: Path) -> object:
        import tensorflow as tf

        return tf.train.load_checkpoint(str(inputs / name / "model"))

    return run


def tensorflow_list(name: str) -> Callable[[Path], object]:
    """List names and shapes; dtypes would take another map."""

    def run(inputs: Path) -> object:
        import tensorflow as tf

        return tf.train.load_checkpoint(str(inputs / name / "model")).get_variable_to_shape_map()

    return run


def tensorflow_layer(inputs: Path) -> object:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(inputs / "million" / "model"))
    return [name for name in reader.get_variable_to_shape_map() if name.startswith("model/layer_1/")]


def tensorflow_list_both(name: str) -> Callable[[Path], object]:
    """List names, shapes and dtypes."""

    def run(inputs: Path) -> object:
        import tensorflow as tf

        reader = tf.train.load_checkpoint(str(inputs / name / "model"))
        return reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()

    return run


def tensorflow_list_variables(inputs: Path) -> object:
    import tensorflow as tf

    return tf.train.list_variables(str(inputs / "many" / "model"))


def tensorflow_look_up(name: str) -> Callable[[Path], object]:
    def run(inputs: Path) -> object:
        import tensorflow as tf

        reader = tf.train.load_checkpoint(str(inputs / name / "model"))
        return reader.get_tensor(middle_name(inputs, name))

    return run


def tensorflow_training(inputs: Path) -> object:
    import tensorflow as tf

    readers = (tf.train.load_checkpoint(path) for path in _training(inputs))
    return [[reader.get_tensor(name) for name in reader.get_variable_to_shape_map()] for reader in readers]


def tensorflow_training_in_order(inputs: Path) -> object:
    import tensorflow as tf

    readers = (tf.train.load_checkpoint(path) for path in _training(inputs))
    return [
        {name: reader.get_tensor(name) for name in sorted(reader.get_variable_to_shape_map())}
        for reader in readers
    ]


# --- safetensors, which has no checksums --------------------------------------------------------------------


def safetensors_list(inputs: Path) -> object:
    from safetensors import safe_open

    with safe_open(inputs / "many" / "model.safetensors", "numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return {name: (part.get_dtype(), part.get_shape()) for name, part in slices.items()}


def safetensors_look_up(inputs: Path) -> object:
    from safetensors import safe_open

    with safe_open(inputs / "many" / "model.safetensors", "numpy") as file:
        return file.get_tensor(middle_name(inputs, "many"))


def safetensors_read(inputs: Path) -> object:
    from safetensors.numpy import load_file

    return load_file(inputs / "many" / "model.safetensors")


def _training(inputs: Path) -> list[str]:
    return sorted(str(path.with_suffix("")) for path in (inputs / "training").glob("*.index"))


# --- the table ----------------------------------------------------------------------------------------------

IN_ORDER = "tensorflow: get_tensor, in order"

CASES: dict[str, Case] = {
    "many: open and list names, dtypes, shapes": Case(
        ("many",),
        {
            "ckptfmt": Job(ckptfmt_list("many")),
            "ckptfmt: to_columns": Job(ckptfmt_columns("many")),
            "ckptfmt: names only": Job(ckptfmt_names("many")),
            "tensorflow: load_checkpoint, shape map": Job(tensorflow_list("many")),
            "tensorflow: load_checkpoint, both maps": Job(tensorflow_list_both("many")),
            "tensorflow: list_variables": Job(tensorflow_list_variables),
            "safetensors: safe_open": Job(safetensors_list),
        },
        (Target("times", 1.25, "tensorflow: load_checkpoint, shape map", "≤ 0.8 of the time"),),
    ),
    "many: open and look one up": Case(
        ("many",),
        {
            "ckptfmt": Job(ckptfmt_look_up("many")),
            "tensorflow: get_tensor": Job(tensorflow_look_up("many")),
            "safetensors: safe_open": Job(safetensors_look_up),
        },
    ),
    "many: read all small tensors, verified": Case(
        ("many",),
        {
            "ckptfmt": Job(ckptfmt_read("many")),
            "ckptfmt: one by one": Job(ckptfmt_one_by_one),
            "tensorflow: get_tensor": Job(tensorflow_read("many")),
            IN_ORDER: Job(tensorflow_read_in_order("many")),
            "safetensors: load_file": Job(safetensors_read),
        },
        (Target("times", 25, "tensorflow: get_tensor"), Target("times", 1.2, IN_ORDER)),
        note=f"*{IN_ORDER}*: in that of the file, in which TensorFlow reads fastest. Its maps have another.",
        cold=False,
    ),
    "million: open": Case(
        ("million", "many"),
        {
            "ckptfmt": Job(ckptfmt_open("million")),
            "ckptfmt: the index of many": Job(ckptfmt_open("many"), input="many"),
            "tensorflow: load_checkpoint": Job(tensorflow_open("million")),
        },
        (Target("times", 100, "tensorflow: load_checkpoint", "under 1 % of the time"),),
    ),
    "million: open and look one up": Case(
        ("million", "many"),
        {
            "ckptfmt": Job(ckptfmt_look_up("million")),
            "ckptfmt: in the index of many": Job(ckptfmt_look_up("many"), input="many"),
            "tensorflow: load_checkpoint": Job(tensorflow_open("million")),
            "tensorflow: get_tensor": Job(tensorflow_look_up("million")),
        },
        (Target("times", 100, "tensorflow: load_checkpoint", "under 1 % of the time to open"),),
    ),
    "million: open and list names, dtypes, shapes": Case(
        ("million",),
        {
            "ckptfmt": Job(ckptfmt_list("million")),
            "ckptfmt: to_columns": Job(ckptfmt_columns("million")),
            "tensorflow: load_checkpoint, shape map": Job(tensorflow_list("million")),
            "tensorflow: load_checkpoint, both maps": Job(tensorflow_list_both("million")),
        },
        (Target("times", 3, "tensorflow: load_checkpoint, both maps"),),
        cold=False,
    ),
    "million: open and list one layer": Case(
        ("million",),
        {
            "ckptfmt": Job(ckptfmt_layer),
            "tensorflow: load_checkpoint, shape map": Job(tensorflow_layer),
        },
    ),
    "training: open and read every small checkpoint": Case(
        ("training",),
        {
            "ckptfmt": Job(ckptfmt_training),
            "ckptfmt: one by one": Job(ckptfmt_training_one_by_one),
            "tensorflow: get_tensor": Job(tensorflow_training),
            IN_ORDER: Job(tensorflow_training_in_order),
        },
        (Target("times", 1, IN_ORDER),),
    ),
}
