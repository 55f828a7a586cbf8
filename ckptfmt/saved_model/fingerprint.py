"""The fingerprint of a SavedModel: hashes that tell one export from another."""

from __future__ import annotations

from typing import NamedTuple

from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message

FINGERPRINT_FILE = "fingerprint.pb"
"""Its file in the directory of a SavedModel."""


class Fingerprint(NamedTuple):
    """Hashes that tell one export from another."""

    saved_model_checksum: int
    graph_def_program_hash: int
    signature_def_hash: int
    saved_object_graph_hash: int
    checkpoint_hash: int
    producer: int
    """Version of the code that computed them."""
    uuid: str
    """A random number for this export."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "Fingerprint", self.uuid))


def decode_fingerprint(data: bytes, file: str) -> Fingerprint:
    """Return the hashes in a serialized FingerprintDef; CorruptError if the bytes are not one."""
    message = parse_message(messages.FingerprintDef, data, file)
    return Fingerprint(
        message.saved_model_checksum,
        message.graph_def_program_hash,
        message.signature_def_hash,
        message.saved_object_graph_hash,
        message.checkpoint_hash,
        message.version.producer,
        message.uuid,
    )
