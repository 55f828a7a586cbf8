"""Resources that a frozen graph cannot be given: boosted trees, queues, readers and iterators.

Lookup tables are filled by :mod:`ckptfmt.graph.freeze.tables`. The contents of other resources are not in the
graph. Trees are restored from a checkpoint in a form of their own, so a model of them cannot be frozen.
Queues and iterators are filled as a program runs, and the user of a frozen graph can feed what is read from
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ckptfmt.errors import GraphError
from ckptfmt.graph.graph import Graph

_RESTORED = re.compile("(?!Stub).*ResourceHandleOp|TreeVariable|FertileStatsVariable")
"""Ops of boosted trees and of random forests, in TensorFlow and in its ``contrib``."""

_RUNNING = re.compile(
    r"(FIFO|RandomShuffle|PaddingFIFO|Priority)Queue(V2)?|Barrier|(Multi)?(Device)?Iterator(V2)?"
    r"|(Resource|Sparse)?ConditionalAccumulator|(Ordered)?(Map)?Unstage"
    r"|(WholeFile|TextLine|FixedLengthRecord|TFRecord|Identity|LMDB)Reader(V2)?"
)
"""Ops of queues, and of other resources that a program fills or advances as it runs."""


def check_resources(graph: Graph) -> Iterator[str]:
    """Iterate over warnings: nodes whose contents the graph lacks.

    Raises GraphError for a node that is of no use without its contents.
    """
    message = graph._outline.message
    functions = graph.functions
    reached = functions.reached_from(functions.called_by(message.node))
    bodies = [message.node, *(functions[name].message.node_def for name in functions if name in reached)]
    for node in (node for body in bodies for node in body):
        if _RESTORED.fullmatch(node.op):
            raise GraphError(f"the contents of {node.op} cannot be frozen", node=node.name)
        if _RUNNING.fullmatch(node.op):
            what = f"the contents of {node.op} are not part of the frozen graph: feed what is read from it"
            yield f"node {node.name!r}: {what}"
