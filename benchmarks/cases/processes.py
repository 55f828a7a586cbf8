"""Whole processes: the time of a command from start to exit."""

from __future__ import annotations

from benchmarks.case import Case, Command, Target

_NAME = "optimizer/_trainable_variables/2/.ATTRIBUTES/VARIABLE_VALUE"

_NEEDED = "numpy: with ml_dtypes, crc32c, protobuf"


def code(text: str) -> Command:
    """The command that runs Python code."""
    return Command(lambda inputs: ["-c", text])


CASES: dict[str, Case] = {
    "process: start to first tensor of a small checkpoint": Case(
        ("digits",),
        {
            "ckptfmt": code(f"import ckptfmt; ckptfmt.open('examples/digits')['{_NAME}']"),
            "tensorflow: load_checkpoint": code(
                f"import tensorflow as tf; tf.train.load_checkpoint('examples/digits').get_tensor('{_NAME}')"
            ),
        },
        (Target("times", 12, "tensorflow: load_checkpoint"),),
    ),
    "process: list a small checkpoint": Case(
        ("digits",),
        {
            "ckptfmt": Command(lambda inputs: ["-m", "ckptfmt", "ls", "examples/digits"], needs="click"),
            "tensorflow: list_variables": code(
                "import tensorflow as tf\n"
                "for name, shape in tf.train.list_variables('examples/digits'): print(name, shape)"
            ),
        },
        (Target("times", 12, "tensorflow: list_variables"),),
        note="ckptfmt runs as the command `ckptfmt ls`.",
    ),
    "process: import": Case(
        ("digits",),
        {
            "ckptfmt": code("import ckptfmt; ckptfmt.open"),
            "ckptfmt: nothing used": code("import ckptfmt"),
            "numpy: alone": code("import numpy"),
            _NEEDED: code("import numpy, ml_dtypes, crc32c, google.protobuf.message"),
            "tensorflow": code("import tensorflow"),
            "safetensors: with its numpy module": code("import safetensors.numpy"),
            "python: nothing": code(""),
        },
        (Target("times", 0.77, _NEEDED, "≤ 1.3 of the time"),),
        cold=False,
    ),
}
