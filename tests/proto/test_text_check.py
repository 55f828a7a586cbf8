"""Checks of text: a look at all bytes suspects every text in which a walk finds a fault."""

from __future__ import annotations

import statistics
import time

import numpy as np
from google.protobuf import text_format
from hypothesis import example, given
from hypothesis import strategies as st

from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_text
from ckptfmt.proto.pool import descriptor_pool
from ckptfmt.proto.text_check import Sketch, find_fault

OUTSIDE = st.text("abc:{}<> \n", max_size=8)
IN_STRING = st.lists(
    st.sampled_from(
        [r"\\", r"\"", r"\'", r"\n", r"\001", r"\377", r"\47", r"\u00e9", *"a{}<#'ü ", r"\q", r"\777"]
    )
).map("".join)
TOKEN = st.one_of(
    OUTSIDE,
    IN_STRING.map(lambda text: f'"{text}"'),
    IN_STRING.map(lambda text: "'" + text.replace("'", "") + "'"),
    IN_STRING.map(lambda text: f'"{text}\n'),
    IN_STRING.map(lambda text: f"# {text}\n"),
    st.just("{" * 60),
)


@given(st.lists(TOKEN).map("".join))
@example("'\\\\'" + "{" * 101)
@example('"' + "{" * 101 + '"')
@example('# "\\\n' + "{" * 101)
def test_every_fault_is_suspected(text: str) -> None:
    if find_fault(text, 100) is not None:
        assert Sketch(text.encode()).is_suspicious(100)


@given(st.binary(max_size=300))
def test_what_protobuf_writes_is_not_suspected(data: bytes) -> None:
    node = messages.NodeDef(name="{" * 200)
    node.attr["value"].s = data
    sketch = Sketch(text_format.MessageToString(node).encode())
    assert not sketch.is_suspicious(100)
    assert not sketch.has_code_points


def test_large_constants_take_little_longer_than_protobuf_alone() -> None:
    graph = messages.GraphDef()
    values = np.random.default_rng(0).random(300_000, np.float32).tobytes()
    graph.node.add(name="w", op="Const").attr["value"].tensor.tensor_content = values
    text = text_format.MessageToString(graph)

    def seconds(parse: object) -> float:
        start = time.process_time()
        assert parse() == graph  # type: ignore[operator]
        return time.process_time() - start

    ratios = [
        seconds(lambda: parse_text(messages.GraphDef, text, "x"))
        / seconds(lambda: text_format.Parse(text, messages.GraphDef(), descriptor_pool=descriptor_pool()))
        for _ in range(9)
    ]
    # 1.15 on an idle machine. A walk over the escapes alone takes longer than all of protobuf's parsing.
    assert statistics.median(ratios) < 1.6
