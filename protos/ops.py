"""Write ``ckptfmt/graph/ops.binpb`` anew: the signatures of the installed TensorFlow's ops.

Without descriptions: names, arguments, attributes with their defaults, and whether an op has state.
"""

from __future__ import annotations

from pathlib import Path

from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

TARGET = Path(__file__).parent.parent / "ckptfmt" / "graph" / "ops.binpb"


def op_list() -> op_def_pb2.OpList:
    """Return the registered ops, sorted by name, without what only people read."""
    buffer = pywrap_tf_session.TF_GetAllOpList()
    ops = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(buffer))
    for op in ops.op:
        for field in ("summary", "description", "deprecation"):
            op.ClearField(field)
        for argument in (*op.input_arg, *op.output_arg):
            argument.ClearField("description")
            argument.ClearField("experimental_full_type")
        for attribute in op.attr:
            attribute.ClearField("description")
    return op_def_pb2.OpList(op=sorted(ops.op, key=lambda op: op.name))


if __name__ == "__main__":
    TARGET.write_bytes(op_list().SerializeToString(deterministic=True))
