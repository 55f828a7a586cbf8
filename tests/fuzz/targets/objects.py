"""Object graphs, with the keys of their checkpoints."""

from __future__ import annotations

import ckptfmt
from ckptfmt.errors import CkptfmtError
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from tests.fuzz import parts
from tests.fuzz.mutate.message import of_message
from tests.fuzz.mutate.plain import of_parts, words
from tests.fuzz.target import Target, outcome
from tests.fuzz.visit import visit
from tests.support.golden import cases
from tests.support.object_graph import check_laws, encode_graph, encode_node, encode_variable

MOST_NODES = 200
"""Nodes of the largest graph whose laws are checked: some take time for every pair."""


def judge(data: bytes) -> None:
    """Check the laws of a graph, and look at all that it shows."""
    message, keys, *_ = [*parts.split(data), b"", b""]
    names = sorted(set(keys.decode("utf-8", "surrogateescape").split("\n")))
    graph = outcome(lambda: ckptfmt.ObjectGraph(message, names, "f"))
    if isinstance(graph, CkptfmtError):
        return
    if len(graph) <= MOST_NODES:
        outcome(lambda: check_laws(graph, names))
    visit(graph)
    for name in names[:20]:
        outcome(lambda name=name: graph.node_of(name))


def seeds() -> list[bytes]:
    """Return the graphs of tests/data, and one with all that a graph can hold."""
    made = encode_graph(
        [
            encode_node([(1, "layer"), (2, "optimizer"), (0, "self")]),
            encode_variable("layer", "dense/kernel"),
            encode_node([(3, "m")], slots=[(1, "m", 3)], saver=("saver", "object")),
            encode_variable("layer/.OPTIMIZER_SLOT/optimizer/m", "dense/kernel/m"),
        ]
    )
    keys = ("layer", "layer/.OPTIMIZER_SLOT/optimizer/m")
    found = [parts.join([made, "\n".join(f"{key}/.ATTRIBUTES/VARIABLE_VALUE" for key in keys).encode()])]
    for golden in cases("v2"):
        with ckptfmt.open(golden.path) as ckpt:
            if OBJECT_GRAPH_KEY in ckpt:
                names = "\n".join(ckpt).encode("utf-8", "surrogateescape")
                found.append(parts.join([ckpt[OBJECT_GRAPH_KEY].item(), names]))
    return found


KEY_WORDS = words(
    b"/", b"\n", b".ATTRIBUTES", b"VARIABLE_VALUE", b".OPTIMIZER_SLOT", b".S", b"..", b"layer", b"\xff"
)

TARGETS = {"object_graph": Target(judge, seeds, of_parts(of_message, KEY_WORDS), count=20)}
