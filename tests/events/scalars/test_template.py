"""Templates: which bodies of events have one."""

from __future__ import annotations

from ckptfmt.events.scalars.template import find_layout
from tests.support.event_log import (
    VERSION,
    scalar,
)


def test_only_bodies_of_scalars_have_a_layout() -> None:
    data = scalar("loss", 1.0, 0, 0.0).SerializeToString()
    assert data[:1] == b"*"  # neither a wall time nor a step
    layout = find_layout(data)
    assert layout is not None
    assert layout.tags == ("loss",)
    assert find_layout(VERSION.SerializeToString()) is None
    assert find_layout(data[:-1]) is None
    assert find_layout(b"") is None
    assert find_layout(data + b"\x10\x05") is None  # a step after it
    assert find_layout(data + data) is None
    bad = data.replace(b"loss", b"lo\xff\xff")
    assert find_layout(bad) is None


def test_a_template_found_before_is_used_only_where_it_fits() -> None:
    def body(tag: str, name: bytes = b"") -> bytes:
        data: bytes = scalar(tag, 1.0, 0, 0.0).SerializeToString()
        return data.replace(b"\n\x04loss", name) if name else data

    first, again = find_layout(body("loss")), find_layout(body("cost"))
    assert first is not None
    assert again is not None
    assert again.template is first.template
    assert (first.tags, again.tags) == (("loss",), ("cost",))
    # Of the same size, but the text is a node's name instead of a tag: there is no scalar.
    assert find_layout(body("loss", b"\x3a\x04loss")) is None
    assert find_layout(body("loss", b"\n\x04l\xffss")) is None
