"""The fingerprint of a SavedModel: hashes that tell one export from another.

The hashes are FarmHash fingerprints of messages, serialized deterministically, or of a file::

    saved_model_checksum       the whole SavedModel
    graph_def_program_hash     the graph of the first meta graph, without what differs from export to export
    signature_def_hash         the names and contents of its signatures, by name
    saved_object_graph_hash    the names and contents of its concrete functions, by number
    checkpoint_hash            the file variables.index

TensorFlow numbers functions as it traces them, so their numbers are left out of the hashes: ``12`` in
``__inference_f_12``.

Source: TensorFlow ``cc/saved_model/fingerprinting.cc``, ``core/graph/regularization/simple_delete.cc``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import NamedTuple

from ckptfmt.dtypes import as_dtype
from ckptfmt.errors import CorruptError
from ckptfmt.graph.tensor_content import MAX_BYTES
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.saved_model.deterministic import serialize_deterministic
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.farmhash import fingerprint64, fingerprint_cat64

FINGERPRINT_FILE = "fingerprint.pb"
"""Its file in the directory of a SavedModel."""

PRODUCER = 4
"""The version of TensorFlow 2.21's fingerprints, which :func:`compute_fingerprint` computes."""

_STRING = as_dtype("string").code

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")

_NUMBER = re.compile(r"[ \t\n\v\f\r]*([-+]?)([0-9]+)[ \t\n\v\f\r]*")
"""What ``absl::SimpleAtoi`` takes for a number."""


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

    def singleprint(self) -> str:
        """Return the hashes that stay the same when the same program and variables are exported again."""
        hashes = (
            self.graph_def_program_hash,
            self.signature_def_hash,
            self.saved_object_graph_hash,
            self.checkpoint_hash,
        )
        return "/".join(map(str, hashes))

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


def encode_fingerprint(fingerprint: Fingerprint) -> bytes:
    """Return the FingerprintDef of hashes, serialized."""
    message = messages.FingerprintDef(
        saved_model_checksum=fingerprint.saved_model_checksum,
        graph_def_program_hash=fingerprint.graph_def_program_hash,
        signature_def_hash=fingerprint.signature_def_hash,
        saved_object_graph_hash=fingerprint.saved_object_graph_hash,
        checkpoint_hash=fingerprint.checkpoint_hash,
        uuid=fingerprint.uuid,
    )
    message.version.producer = fingerprint.producer
    return message.SerializeToString(deterministic=True)


def compute_fingerprint(
    model: messages.SavedModel, index: Buffer | None, *, uuid: str | None = None
) -> Fingerprint | None:
    """Return the fingerprint that TensorFlow 2.21 gives a model.

    It takes about 65 ms for each megabyte of the model, and memory for a copy of its graph and twice its
    serialized bytes.

    Parameters
    ----------
    model
        The content of ``saved_model.pb``.
    index
        The bytes of ``variables/variables.index``, or None if the model has none.
    uuid
        A random number of up to 128 bits in decimal digits; None makes a new one.

    Returns
    -------
    Fingerprint or None
        None if TensorFlow gives such a model none, or one that depends on chance: it has no meta graph, takes
        2 GiB or more, a call or a constant lacks an attribute, or the names of its concrete functions do not
        end in different numbers. None, too, if it has groups, which are fields that no TensorFlow wrote.
    """
    if not model.meta_graphs or model.ByteSize() >= MAX_BYTES:
        return None
    try:
        return _compute(model, index, f"{secrets.randbits(128):020d}" if uuid is None else uuid)
    except CorruptError:
        return None


def _compute(model: messages.SavedModel, index: Buffer | None, uuid: str) -> Fingerprint | None:
    meta_graph = model.meta_graphs[0]
    objects = _hash_functions(meta_graph.object_graph_def.concrete_functions)
    program = _program(meta_graph.graph_def)
    if objects is None or program is None:
        return None
    return Fingerprint(
        fingerprint64(serialize_deterministic(model)),
        fingerprint64(serialize_deterministic(program)),
        _hash_signatures(meta_graph.signature_def),
        objects,
        0 if index is None else fingerprint64(index),
        PRODUCER,
        uuid,
    )


def _program(graph: messages.GraphDef) -> messages.GraphDef | None:
    """Return a graph without what differs between exports of one program; None if an attribute is missing."""
    program = messages.GraphDef()
    program.CopyFrom(graph)
    # Empty, but present.
    for part in (program.library, program.versions):
        part.Clear()
        part.SetInParent()
    for node in program.node:
        if node.op in _CALLS:
            if "f" not in node.attr:
                return None
            name = node.attr["f"].func.name
            number = _suffix_number(name)
            if number is not None:
                node.attr["f"].func.name = name.removesuffix(str(number))
            if "config_proto" in node.attr:
                node.attr["config_proto"].s = b""  # it names devices
        elif node.op == "Const":
            if "dtype" not in node.attr:
                return None
            # Texts may be paths.
            if node.attr["dtype"].type == _STRING:
                if "value" not in node.attr:
                    return None
                node.attr["value"].Clear()
    return program


def _hash_signatures(signatures: Mapping[str, messages.SignatureDef]) -> int:
    result = 0
    # C++ sorts the bytes of names.
    for name in sorted(signatures, key=str.encode):
        result = fingerprint_cat64(result, fingerprint64(name.encode()))
        result = fingerprint_cat64(result, fingerprint64(serialize_deterministic(signatures[name])))
    return result


def _hash_functions(functions: Mapping[str, messages.SavedConcreteFunction]) -> int | None:
    """Return the hash of concrete functions; None if their names do not end in different numbers."""
    numbers = {_suffix_number(name): name for name in functions}
    # Of two functions of one number, TensorFlow hashes the first of a hash table.
    if None in numbers or len(numbers) < len(functions):
        return None
    result = 0
    for number, name in sorted((number, name) for number, name in numbers.items() if number is not None):
        result = fingerprint_cat64(result, fingerprint64(name.removesuffix(str(number)).encode()))
        result = fingerprint_cat64(result, fingerprint64(serialize_deterministic(functions[name])))
    return result


def _suffix_number(name: str) -> int | None:
    """Return the number after the last underscore of a function's name, or None if it is not an int64."""
    match = _NUMBER.fullmatch(name.rpartition("_")[2])
    digits = "" if match is None else match[2].lstrip("0") or "0"
    # No int64 has more digits, and Python refuses to convert very many.
    if match is None or len(digits) > 19:
        return None
    number = -int(digits) if match[1] == "-" else int(digits)
    return number if -(1 << 63) <= number < 1 << 63 else None
