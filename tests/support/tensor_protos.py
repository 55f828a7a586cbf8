"""TensorProto messages as TensorFlow 2.21 wrote them: ``tf.make_tensor_proto(array)``."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

_HEX: dict[str, tuple[str, Any]] = {
    "float32": (
        "08011208120208021202080222100000803f0000004000004040000000bf",
        np.float32([[1, 2], [3, -0.5]]),
    ),
    "one float64": ("080212003208000000000000f83f", np.array(1.5)),
    "int64": ("080912041202080222100100000000000000feffffffffffffff", np.array([1, -2], np.int64)),
    "one int32": ("080312003a0affffffffffffffffff01", np.array(-1, np.int32)),
    "bool": ("080a1204120208025a020100", np.array([True, False])),
    "complex64": ("08081204120208014a080000803f00000040", np.array([1 + 2j], np.complex64)),
    "strings": ("080712041202080342016142004203620063", np.array([b"a", b"", b"b\0c"], object)),
    "bfloat16": ("080e1204120208022204c03f00c0", np.array([1.5, -2], ml_dtypes.bfloat16)),
    "one bfloat16": ("080e12006a02c07f", np.array(1.5, ml_dtypes.bfloat16)),
    "uint16": ("08111204120208023a0401ffff03", np.array([1, 65535], np.uint16)),
    "float8": ("081812041202080222023c40", np.array([1, 2], ml_dtypes.float8_e5m2)),
    "one float8": ("081812009201013c", np.array(1, ml_dtypes.float8_e5m2)),
    "int4": ("081d1204120208023a0bf8ffffffffffffffff0107", np.array([-8, 7], ml_dtypes.int4)),
    "one uint64": ("081712008a010affffffffffffffffff01", np.array(2**64 - 1, np.uint64)),
    "empty": ("08011206120012020803", np.zeros((0, 3), np.float32)),
}

WRITTEN: dict[str, tuple[bytes, np.ndarray]] = {
    name: (bytes.fromhex(text), array) for name, (text, array) in _HEX.items()
}
"""Messages, and the arrays that they were made of."""

VARIANT = bytes.fromhex(
    "08151200223f3e0a1674656e736f72666c6f773a3a54656e736f724c697374120c0001ffffffffffffffffff01"
    "1a0a080112002a040000803f1a0a080112002a0400000040"
)
"""``tf.io.serialize_tensor`` of the TensorList of ``[1.0, 2.0]``: its variant is in ``tensor_content``."""

RESOURCE = bytes.fromhex(
    "08141200226f6e0a2c2f6a6f623a6c6f63616c686f73742f7265706c6963613a302f7461736b3a302f646576696365"
    "3a4350553a301209416e6f6e796d6f75731a0a5661726961626c652f3020e5f3a5f0afa4949ef2012a124e313074656e"
    "736f72666c6f77335661724532080801120412020801"
)
"""``tf.io.serialize_tensor`` of the handle of a variable: also in ``tensor_content``."""
