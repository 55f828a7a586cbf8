"""Deciding: which branches of a graph run, once some values are known.

TensorFlow 1 writes a condition as nodes. A ``Switch`` sends its input to one of two outputs; what needs the
other one is dead and does not run; a ``Merge`` returns the one input that is not dead::

    data ── Switch(predicate) ─┬─ :0 ── … ─┬─ Merge
                               └─ :1 ── … ─┘

Facts are found from a worklist and only added, never taken back: an output has a known value; it is dead.
Each edge is followed once for each kind of fact, so the time is linear in the edges, even if they form
circles.

- A node with a dead input, or a dead control input, is dead. A ``Merge`` is dead if all of its inputs are. A
  loop begins with a ``Merge`` whose second input comes from its own end, a ``NextIteration``, which does not
  count: a loop that is never entered is dead.
- A ``Switch`` whose predicate is known has a dead output. A ``Merge`` with one input that may be alive
  returns that one. A loop stays as it is: its predicate, a ``LoopCond``, is never known.

Conditions in functions are attributes of a node (:data:`ckptfmt.graph.calls.CALL_OPS`): a function has no
dead nodes here, only values.

Source: TensorFlow ``core/common_runtime/propagator_state.cc``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ckptfmt.errors import CorruptError, GraphError
from ckptfmt.graph.node import parse_function_output, parse_output
from ckptfmt.graph.scalars import Scalar, evaluate, is_evaluated, scalar_of
from ckptfmt.proto import messages

SWITCHES = frozenset(("Switch", "RefSwitch", "_SwitchN"))
"""Ops that send input 0 to the output that input 1 tells."""

MERGES = frozenset(("Merge", "RefMerge", "_XlaMerge"))
"""Ops that return the input that is not dead."""


class Deciding:
    """What is known of the nodes of a graph or of a function."""

    def __init__(
        self, nodes: Iterable[messages.NodeDef], file: str | None, *, in_function: bool = False
    ) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.dead: set[str] = set()
        """The nodes that never run."""
        self.switches: dict[str, int] = {}
        """Switch -> its only live output."""
        self.merges: dict[str, int] = {}
        """Merge -> the number of its only live input."""
        self._file = file
        self._in_function = in_function
        self._parse = parse_function_output if in_function else parse_output
        self._values: dict[tuple[str, int], Scalar] = {}
        self._constants: dict[str, Scalar | None] = {}
        self._live: dict[str, set[int]] = {}
        """Merge that has a dead input -> the others."""
        self._is_loop: dict[str, bool] = {}
        """Merge that has a dead input -> whether it begins a loop."""
        self._consumers: dict[str, list[tuple[str, int]]] = {}
        for node in self.nodes.values():
            for index, text in enumerate(node.input):
                self._consumers.setdefault(self._parse(text).node, []).append((node.name, index))
        self._waiting: list[tuple[str, int | None, bool]] = []
        """What is new: a node, the output that is known or the only one that is not dead, and whether the
        others are dead."""

    def run(self, values: Mapping[str, Scalar]) -> None:
        """Find all that follows from the values of nodes or of a function's arguments.

        Raises
        ------
        GraphError
            A value is a predicate, but neither true nor false.
        CorruptError
            A Switch or Merge lacks an input.
        """
        for name, value in values.items():
            self._know(name, 0, value)
        while self._waiting:
            name, output, is_dead = self._waiting.pop()
            for consumer, index in self._consumers.get(name, ()):
                text = self.nodes[consumer].input[index]
                number = None if text.startswith("^") else self._parse(text).number
                if consumer in self.dead:
                    continue
                if not is_dead:
                    if number == output:
                        self._learn(self.nodes[consumer])
                elif output is None or (number is not None and number != output):
                    self._lose(self.nodes[consumer], index)

    def value(self, text: str) -> Scalar | None:
        """Return the value of an input, None if it is not known."""
        output = self._parse(text)
        known = self._values.get((output.node, output.number))
        if known is not None or output.number:
            return known
        node = self.nodes.get(output.node)
        if node is None or node.op != "Const":
            return None
        if output.node not in self._constants:
            scalar = scalar_of(node.attr["value"].tensor) if "value" in node.attr else None
            if scalar is not None and node.input:
                scalar = scalar._replace(is_plain=False)
            self._constants[output.node] = scalar
        return self._constants[output.node]

    def is_plain(self, name: str) -> bool:
        """Return whether a node only computes a known value, so that none has to wait for it."""
        known = self._values.get((name, self.switches.get(name, 0)))
        return known is not None and known.is_plain and name not in self.dead

    def input(self, node: messages.NodeDef, index: int) -> str:
        """Return an input of a node; CorruptError if it has no such one."""
        if index >= len(node.input) or node.input[index].startswith("^"):
            raise CorruptError(f"node {node.name!r} ({node.op}) has no input {index}", file=self._file)
        return node.input[index]

    def _know(self, name: str, output: int, value: Scalar) -> None:
        if (name, output) not in self._values:
            self._values[name, output] = value
            self._waiting.append((name, output, False))

    def _learn(self, node: messages.NodeDef) -> None:
        """Find what follows from a value that is new among the inputs of a node."""
        if is_evaluated(node.op):
            # Control inputs come after the others: at most three inputs of these ops have values.
            inputs = [text for text in node.input[:3] if not text.startswith("^")]
            value = evaluate(node, [self.value(text) for text in inputs])
            if value is not None:
                self._know(node.name, 0, value)
        elif self._in_function:
            return
        elif node.op in SWITCHES:
            self._switch(node)
        elif node.name in self.merges:
            self._merge(node)

    def _switch(self, node: messages.NodeDef) -> None:
        predicate = self.value(self.input(node, 1))
        if predicate is None:
            return
        if node.name not in self.switches:
            self.switches[node.name] = _live_output(node, predicate.value)
            self._waiting.append((node.name, self.switches[node.name], True))
        data = self.value(self.input(node, 0))
        if data is not None:
            is_plain = data.is_plain and predicate.is_plain and not _has_controls(node)
            self._know(node.name, self.switches[node.name], Scalar(data.value, is_plain))

    def _merge(self, node: messages.NodeDef) -> None:
        value = self.value(node.input[self.merges[node.name]])
        if value is not None:
            self._know(node.name, 0, value._replace(is_plain=value.is_plain and not _has_controls(node)))

    def _lose(self, node: messages.NodeDef, index: int) -> None:
        """Find what follows from an input of a node that is dead."""
        if self._in_function:
            return
        if node.op not in MERGES:
            self._die(node.name)
            return
        if node.input[index].startswith("^"):
            return
        if node.name not in self._live:
            data = [number for number, text in enumerate(node.input) if not text.startswith("^")]
            forward = {number for number in data if not self._is_back_edge(node.input[number])}
            self._live[node.name], self._is_loop[node.name] = forward, len(forward) < len(data)
        live = self._live[node.name]
        live.discard(index)
        if not live:
            self._die(node.name)
        elif len(live) == 1 and not self._is_loop[node.name]:
            (self.merges[node.name],) = live
            self._merge(node)

    def _is_back_edge(self, text: str) -> bool:
        source = self.nodes.get(self._parse(text).node)
        return source is not None and source.op in ("NextIteration", "RefNextIteration")

    def _die(self, name: str) -> None:
        self.dead.add(name)
        self._waiting.append((name, None, True))


def _live_output(node: messages.NodeDef, value: object) -> int:
    """Return the output that a Switch sends its input to."""
    if node.op == "_SwitchN":
        count = node.attr["num_outs"].i
        if isinstance(value, int) and not isinstance(value, bool) and count > 0:
            return value if 0 <= value < count else count - 1
    elif isinstance(value, bool):
        return int(value)
    want = "an int" if node.op == "_SwitchN" else "a bool"
    raise GraphError(f"{node.op}: got {value!r} as the predicate, want {want}", node=node.name)


def _has_controls(node: messages.NodeDef) -> bool:
    return any(text.startswith("^") for text in node.input)
