"""Versions: whether a checkpoint admits this reader.

A VersionDef gives the version that it was written with, and the consumers that it excludes::

    1 producer   2 min_consumer   3 bad_consumers

TensorFlow also refuses producers below a minimum version, which is 0 for checkpoints and so refuses none.
Source: TensorFlow ``core/framework/versions.cc``, ``CheckVersions``.
"""

from __future__ import annotations

from ckptfmt.errors import UnsupportedError
from ckptfmt.wire.coding import Buffer, to_signed
from ckptfmt.wire.fields import decode_fields, decode_integers

CONSUMER_VERSION = 1
"""The version that this reader understands, the same as TensorFlow 2.21 (kTensorBundleVersion)."""


def check_version(version: Buffer) -> None:
    """Raise UnsupportedError if a serialized VersionDef excludes this reader; an empty one admits all."""
    min_consumer = 0
    excluded = False
    for field in decode_fields(version):
        if field.number == 2:
            min_consumer = to_signed(field.value)
        elif field.number == 3:
            excluded |= CONSUMER_VERSION in decode_integers(field)
    if min_consumer > CONSUMER_VERSION:
        raise UnsupportedError(
            f"the checkpoint needs readers of version {min_consumer} or later, this is {CONSUMER_VERSION}"
        )
    if excluded:
        raise UnsupportedError(f"the checkpoint excludes readers of version {CONSUMER_VERSION}")
