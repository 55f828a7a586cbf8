"""Hyperparameters, as the plugin ``hparams`` of TensorBoard stores them in the metadata of three tags.

::

    HParamsPluginData:  1 version; one of 2 experiment, 3 session_start_info, 4 session_end_info
    SessionStartInfo:   1 hparams map<string, Value>; 2 model_uri; 3 monitor_url; 4 group_name; 5 start double
    SessionEndInfo:     1 status enum; 2 end double
    Experiment:         6 name; 1 description; 2 user; 3 created double; 4 hparam_infos; 5 metric_infos
    Value:              one of 1 null, 2 double, 3 string, 4 bool, 5 struct, 6 list

Source: TensorBoard ``plugins/hparams/plugin_data.proto``, ``api.proto``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ckptfmt.errors import CkptfmtError, CorruptError
from ckptfmt.events.store import EventStore
from ckptfmt.events.summaries import text_of
from ckptfmt.events.summary_metadata import SummaryMetadata
from ckptfmt.notebook.card import Card, Table
from ckptfmt.notebook.fields import brief, fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.fields import FIXED64, LENGTH_DELIMITED, VARINT, Field, decode_fields

HParam: TypeAlias = "float | str | bool | list[HParam] | dict[str, HParam] | None"

MAX_NESTING = 50
"""Nesting of lists and structs. Each level takes two messages, and protobuf itself allows 100."""

_STATUS = {1: "success", 2: "failure", 3: "running"}


@dataclass
class HParams:
    """The hyperparameters of a session, usually a run."""

    values: dict[str, HParam] = field(default_factory=dict)
    """The hyperparameters: numbers, strings, bools, None, and lists and dicts of these."""
    group_name: str = ""
    """Sessions of one group are trials of the same hyperparameters."""
    model_uri: str = ""
    monitor_url: str = ""
    start_time: float | None = None
    """When the session began, in seconds since 1970; None if that is not stored."""
    end_time: float | None = None
    status: str = ""
    """How the session ended: ``success``, ``failure``, ``running``; empty if that is not stored."""
    experiment: str = ""
    """The name of the experiment."""
    description: str = ""
    metrics: list[str] = field(default_factory=list)
    """The tags that the experiment compares."""

    def _card(self) -> Card:
        values = Table(
            "Hyperparameters",
            ("name", "value"),
            lambda: self.values,
            lambda name: (name, brief(self.values[name])),
            is_open=True,
        )
        rest = fields_card(replace(self, values={}), "HParams", self.experiment)
        return rest._replace(parts=[values, *rest.parts])

    def _repr_html_(self) -> str:
        return to_html(self._card)


def read_hparams(stored: Iterable[tuple[str, int, SummaryMetadata]], store: EventStore) -> HParams:
    """Return the hyperparameters in the metadata of tags, given with tags and locations.

    CorruptError if one is not the plugin's message; it is placed at the event that holds it.
    """
    hparams = HParams()
    for tag, location, metadata in stored:
        try:
            _add_content(hparams, metadata.content)
        except CkptfmtError as error:
            raise store.at(error, location, f"hparams {tag!r}") from error.__cause__
    return hparams


def _add_content(hparams: HParams, content: bytes) -> None:
    """Add what the plugin stored with one tag."""
    for part in decode_fields(content):
        if part.wire_type == LENGTH_DELIMITED and part.number in _PARTS:
            _PARTS[part.number](hparams, part.content)


def _start(hparams: HParams, data: Buffer) -> None:
    for part in decode_fields(data):
        if part.number == 1:
            key, value = _entry(part.content, 0)
            hparams.values[key] = value
        elif part.number == 2:
            hparams.model_uri = text_of(part.content)
        elif part.number == 3:
            hparams.monitor_url = text_of(part.content)
        elif part.number == 4:
            hparams.group_name = text_of(part.content)
        elif part.number == 5:
            hparams.start_time = _double(part)


def _end(hparams: HParams, data: Buffer) -> None:
    for part in decode_fields(data):
        if part.number == 1:
            hparams.status = _STATUS.get(part.value, "")
        elif part.number == 2:
            hparams.end_time = _double(part)


def _experiment(hparams: HParams, data: Buffer) -> None:
    for part in decode_fields(data):
        if part.number == 6:
            hparams.experiment = text_of(part.content)
        elif part.number == 1:
            hparams.description = text_of(part.content)
        elif part.number == 5:
            for info in decode_fields(part.content):
                if info.number == 1:
                    # A MetricName: 1 group, 2 tag. The group, if there is one, is a directory below that of
                    # the session.
                    names = {each.number: text_of(each.content) for each in decode_fields(info.content)}
                    hparams.metrics.append("/".join(filter(None, (names.get(1), names.get(2)))))


_PARTS = {2: _experiment, 3: _start, 4: _end}


def _entry(data: Buffer, depth: int) -> tuple[str, HParam]:
    """Return the key and value of a map entry."""
    entry = {each.number: each for each in decode_fields(data)}
    key = text_of(entry[1].content) if 1 in entry else ""
    return key, _value(entry[2].content, depth) if 2 in entry else None


def _value(data: Buffer, depth: int) -> HParam:
    """Return a ``google.protobuf.Value`` as a Python object."""
    if depth > MAX_NESTING:
        raise CorruptError(f"values nested deeper than {MAX_NESTING}")
    value: HParam = None
    # A oneof: as in protobuf, the last field counts.
    for part in decode_fields(data):
        if part.number == 2:
            value = _double(part)
        elif part.number == 3:
            value = text_of(part.content)
        elif part.number == 4 and part.wire_type == VARINT:
            value = bool(part.value)
        elif part.number == 5:
            fields = [each for each in decode_fields(part.content) if each.number == 1]
            value = dict(_entry(each.content, depth + 1) for each in fields)
        elif part.number == 6:
            items = [each for each in decode_fields(part.content) if each.number == 1]
            value = [_value(each.content, depth + 1) for each in items]
    return value


def _double(part: Field) -> float:
    if part.wire_type != FIXED64:
        raise CorruptError(f"field {part.number} has wire type {part.wire_type}, want {FIXED64}")
    number: float = struct.unpack("<d", part.value.to_bytes(8, "little"))[0]
    return number
