"""Specializing: functions for calls that pass known values, with the conditions that these decide.

A condition that is decided becomes a call of one of its branches. A function that has conditions, or calls
one that has, is copied for each set of known arguments that a call passes, and the copy is called instead.
A loop passes what its body returned in the round before, so an argument is known in it only if the body
returns it as it is.
"""

from __future__ import annotations

from itertools import chain, count

from ckptfmt.graph.calls import CALL_OPS, function_attributes
from ckptfmt.graph.deciding import Deciding
from ckptfmt.graph.node import parse_function_output
from ckptfmt.graph.origins import Origins
from ckptfmt.graph.scalars import Scalar
from ckptfmt.proto import messages

_CALLS = {
    "If": "StatefulPartitionedCall",
    "StatelessIf": "PartitionedCall",
    "Case": "StatefulPartitionedCall",
    "StatelessCase": "PartitionedCall",
}
"""Conditions, and the ops that only call a function."""

_MAX_GROWTH = 4
"""Bytes that copies may take for each byte of the library. Each call could pass other values, and functions
that call each other would have copies without end; calls beyond the limit stay undecided."""

Known = tuple[tuple[int, Scalar], ...]
"""The arguments that have known values, in order."""


class Specializer:
    """The functions of a library, and their copies."""

    def __init__(self, library: messages.FunctionDefLibrary, file: str | None) -> None:
        """Take a library, to which copies are added."""
        self._library = library
        self._file = file
        self._functions = {function.signature.name: function for function in library.function}
        self._taken = set(self._functions)
        self._numbers: dict[str, int] = {}
        self._conditional = self._find_conditional()
        self._unchanged: dict[str, frozenset[int]] = {}
        self._copies: dict[tuple[str, Known], str] = {}
        self._waiting: list[tuple[messages.FunctionDef, Known]] = []
        self._left = _MAX_GROWTH * library.ByteSize()

    def _find_conditional(self) -> set[str]:
        """Return the functions that have conditions, or call a function that has."""
        callers: dict[str, set[str]] = {}
        waiting = []
        for name, function in self._functions.items():
            if any(node.op in _CALLS for node in function.node_def):
                waiting.append(name)
            for node in function.node_def:
                op = CALL_OPS.get(node.op)
                called = [] if op is None else [each.name for each in function_attributes(node, op.functions)]
                for each in (*called, node.op):
                    if each in self._functions:
                        callers.setdefault(each, set()).add(name)
        conditional = set(waiting)
        while waiting:
            fresh = [name for name in callers.get(waiting.pop(), ()) if name not in conditional]
            conditional.update(fresh)
            waiting += fresh
        return conditional

    def specialize(self, graph: messages.GraphDef, deciding: Deciding) -> None:
        """Change the calls of a graph, and in the copies of the functions that it calls."""
        self._change_calls(deciding, graph)
        while self._waiting:
            function, known = self._waiting.pop()
            body = Deciding(function.node_def, self._file, in_function=True)
            arguments = function.signature.input_arg
            body.run({arguments[index].name: value for index, value in known if index < len(arguments)})
            self._change_calls(body, function)

    def _change_calls(self, body: Deciding, container: messages.GraphDef | messages.FunctionDef) -> None:
        for node in list(body.nodes.values()):
            if node.name in body.dead:
                continue
            branch = _decided_branch(body, node) if node.op in _CALLS and node.input else None
            call = node if branch is None else _add_call(body, container, node, branch)
            self._pass_known(body, call)

    def _pass_known(self, body: Deciding, node: messages.NodeDef) -> None:
        """Let a node call copies of its functions, if it passes known values."""
        op = None if node.op in self._functions else CALL_OPS.get(node.op)
        if op is None and node.op not in self._functions:
            return
        known = _known_arguments(body, node, 0 if op is None else op.first_argument)
        if known and op is not None and op.is_loop:
            unchanged = self._unchanged_arguments(node.attr["body"].func.name if "body" in node.attr else "")
            known = tuple(each for each in known if each[0] in unchanged)
        if not known:
            return
        if op is None:
            node.op = self._copy(node.op, known)
            return
        for called in function_attributes(node, op.functions):
            called.name = self._copy(called.name, known)

    def _unchanged_arguments(self, name: str) -> frozenset[int]:
        """Return the arguments that a function returns as they are, each in its own place."""
        unchanged = self._unchanged.get(name)
        if unchanged is None:
            function = self._functions.get(name)
            unchanged = self._unchanged[name] = (
                frozenset() if function is None else _unchanged(function, self._file or "graph")
            )
        return unchanged

    def _copy(self, name: str, known: Known) -> str:
        """Return the function to call instead of another one with some known arguments: a copy, or itself."""
        if name not in self._conditional or name not in self._functions:
            return name
        new = self._copies.get((name, known))
        if new is None:
            function = self._functions[name]
            self._left -= function.ByteSize()
            if self._left < 0:
                return name
            new = self._copies[name, known] = self._free_name(name)
            copy = self._library.function.add()
            copy.CopyFrom(function)
            copy.signature.name = new
            self._functions[new] = copy
            self._conditional.add(new)
            self._waiting.append((copy, known))
        return new

    def _free_name(self, name: str) -> str:
        start = self._numbers.get(name, 0)
        number = next(number for number in count(start) if f"{name}_decided_{number}" not in self._taken)
        self._numbers[name] = number + 1
        self._taken.add(f"{name}_decided_{number}")
        return f"{name}_decided_{number}"


def _unchanged(function: messages.FunctionDef, file: str) -> frozenset[int]:
    origins = Origins(function.node_def, file, in_function=True)
    arguments = {argument.name: number for number, argument in enumerate(function.signature.input_arg)}
    unchanged = set()
    for number, result in enumerate(function.signature.output_arg):
        returned = parse_function_output(function.ret.get(result.name, ""))
        if arguments.get(origins.origin_of(returned.node, returned.number).node) == number:
            unchanged.add(number)
    return frozenset(unchanged)


def _known_arguments(body: Deciding, node: messages.NodeDef, first: int) -> Known:
    known = []
    for number, text in enumerate(node.input[first:]):
        if text.startswith("^"):
            break  # control inputs come last
        value = body.value(text)
        # NaN is equal to nothing, so no copy would be found again.
        if value is not None and value.value == value.value:
            known.append((number, Scalar(value.value)))
    return tuple(known)


def _decided_branch(body: Deciding, node: messages.NodeDef) -> messages.NameAttrList | None:
    """Return the function that a condition calls; None if that is not decided."""
    predicate = body.value(body.input(node, 0))
    branches = list(function_attributes(node, CALL_OPS[node.op].functions))
    if predicate is None or not branches:
        return None
    if node.op in ("Case", "StatelessCase"):
        index = predicate.value
        if not isinstance(index, int) or isinstance(index, bool):
            return None
        # The last branch is taken for numbers that none has.
        return branches[index if 0 <= index < len(branches) else -1]
    # A number is true unless it is 0, a string unless it is empty.
    return branches[not predicate.value] if len(branches) == 2 else None


def _add_call(
    body: Deciding,
    container: messages.GraphDef | messages.FunctionDef,
    node: messages.NodeDef,
    function: messages.NameAttrList,
) -> messages.NodeDef:
    """Add a call of a branch, make the condition pass on its results, and return the call."""
    # Not the condition itself: TensorFlow puts the nodes of a function below the name of its call, and those
    # beside ``cond`` are often named ``cond/Identity``.
    candidates = (f"{node.name}/branch{suffix}" for suffix in chain([""], (f"_{n}" for n in count(1))))
    name = next(candidate for candidate in candidates if candidate not in body.nodes)
    stored = container.node if isinstance(container, messages.GraphDef) else container.node_def
    call = body.nodes[name] = stored.add(name=name, op=_CALLS[node.op], device=node.device)
    call.input.extend(node.input[1:])
    predicate = body.value(node.input[0])
    control = f"^{node.input[0].partition(':')[0]}"
    if predicate is not None and not predicate.is_plain and control not in call.input:
        call.input.append(control)
    for attribute in ("Tin", "Tout", "_class"):
        if attribute in node.attr:
            call.attr[attribute].CopyFrom(node.attr[attribute])
    call.attr["f"].func.CopyFrom(function)
    results = node.attr["Tout"].list.type if "Tout" in node.attr else ()
    new = messages.NodeDef(name=node.name, op="IdentityN" if results else "NoOp", device=node.device)
    separator = ":" if isinstance(container, messages.GraphDef) else ":output:"
    new.input.extend([f"{name}{separator}{k}" for k in range(len(results))] or [f"^{name}"])
    if results:
        new.attr["T"].list.type.extend(results)
        shapes = next((key for key in ("_output_shapes", "output_shapes") if key in node.attr), None)
        if shapes is not None:
            for each in (new, call):
                each.attr["_output_shapes"].CopyFrom(node.attr[shapes])
    node.CopyFrom(new)
    return call
