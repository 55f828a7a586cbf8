"""Device names: where a node runs, as ``/job:ps/replica:0/task:1/device:GPU:0``; each part may be missing.

Source: TensorFlow ``python/framework/device_spec.py``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ckptfmt.errors import GraphError

_PART = re.compile(
    r"/(?:(?P<key>job|replica|task):(?P<value>[^/:]+)"
    r"|device:(?P<type>[A-Za-z_][^/:]*)(?::(?P<index>[0-9]+|\*))?"
    r"|(?P<old>cpu|gpu|CPU|GPU):(?P<old_index>[0-9]+|\*))"
)


class Device(NamedTuple):
    """The parts of a device name; empty ones are missing."""

    job: str = ""
    replica: str = ""
    task: str = ""
    kind: str = ""
    """``CPU``, ``GPU``, ``TPU`` …"""
    number: str = ""
    """Its number; empty for any."""

    def __str__(self) -> str:
        named = (("job", self.job), ("replica", self.replica), ("task", self.task))
        device = f"/device:{self.kind}:{self.number or '*'}" if self.kind else ""
        return "".join(f"/{key}:{value}" for key, value in named if value) + device

    def within(self, outer: Device) -> Device:
        """Return the device with the parts of an outer one where it has none."""
        return Device(*(mine or theirs for mine, theirs in zip(self, outer, strict=True)))


CPU = Device(kind="CPU", number="0")
"""The first CPU of any machine."""


def parse_device(text: str) -> Device:
    """Return the parts of a device name, such as ``/cpu:0`` or ``/job:ps/task:1``.

    Raises GraphError if it is not one.
    """
    parts = {}
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            raise GraphError(f"not a device name: {text[:200]!r}")
        position = match.end()
        if match["key"]:
            parts[match["key"]] = match["value"]
        else:
            kind, index = match["type"] or match["old"], match["index"] or match["old_index"] or ""
            parts["kind"] = kind.upper() if kind in ("cpu", "gpu") else kind
            parts["number"] = "" if index == "*" else index
    return Device(**parts)


def cpu_of(device: Device) -> Device:
    """Return the first CPU of the machine that a device belongs to."""
    return CPU.within(device)
