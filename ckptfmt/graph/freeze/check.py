"""Checking that all calls of a changed function agree with the change.

Propagation changes a function as soon as one call passes a variable to it. Another call that passes something
else there would then compute something else, or pass a dtype that the function no longer takes.
"""

from __future__ import annotations

from collections.abc import Set

from ckptfmt.errors import GraphError
from ckptfmt.graph.calls import CALL_OPS, function_attributes
from ckptfmt.graph.captures import captures_of
from ckptfmt.graph.freeze.propagation import Destination, Propagation
from ckptfmt.graph.function import Functions
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.ops import VARIABLE_OPS
from ckptfmt.proto import messages
from ckptfmt.text.quoting import listed


def check_no_inner_variables(graph: Graph, staying: Set[str]) -> None:
    """Raise GraphError if a function that is called makes a variable, whose value no checkpoint has.

    Those that stay variables do not count. Propagation relies on it: a value can then be in a function only
    if it came in through an argument.
    """
    reached = graph.functions.reached_from(graph.functions.called_by(graph._outline.message.node))
    for name in graph.functions:
        nodes = graph.functions[name].message.node_def if name in reached else ()
        inner = next((node for node in nodes if node.op in VARIABLE_OPS and node.name not in staying), None)
        if inner is not None:
            raise GraphError(f"{inner.op} within function {name!r} cannot be frozen", node=inner.name)


def check_calls(propagation: Propagation) -> None:
    """Raise GraphError if a call of a changed function does not pass or return variables as others do."""
    _check_loops(propagation)
    graph = propagation.graph
    # Functions that nothing calls are not checked: they never run.
    functions = Functions(graph.library, None)
    called = sorted(functions.reached_from(functions.called_by(graph.node)))
    for function in (None, *called):
        for node in propagation.body(function).nodes.values():
            _check_call(propagation, function, node)


def _check_loops(propagation: Propagation) -> None:
    """Raise GraphError if the body of a loop returns an argument in the place of another one.

    The loop then has another variable in each round, which no constant can be. TensorFlow does not notice it
    and takes the variable that the loop began with.
    """
    for name, sites in propagation.call_sites.items():
        calls = map(propagation.node, sites)
        loops = [node for node in calls if node.op in CALL_OPS and CALL_OPS[node.op].is_loop]
        if not any(node.attr["body"].func.name == name for node in loops):
            continue
        for result, value in propagation.value_results.get(name, {}).items():
            if value.argument != result:
                raise GraphError(
                    f"the body {name!r} returns variable {value.variable!r} in place of another",
                    node=loops[0].name,
                )


def _check_call(propagation: Propagation, function: str | None, node: messages.NodeDef) -> None:
    """Check the arguments of one call, and that all its branches return variables in the same places."""
    op = CALL_OPS.get(node.op)
    if node.op in propagation.functions:
        first_argument, called = 0, [node.op]
    elif op is not None:
        first_argument = op.first_argument
        called = [function.name for function in function_attributes(node, op.functions)]
    else:
        _check_captures(propagation, function, node)
        return
    # Every argument that has become a value in the function must have become one in this call.
    for name in called:
        for argument in propagation.value_arguments.get(name, ()):
            if Destination(function, node.name, first_argument + argument) not in propagation.reached:
                what = f"argument {argument} of {name!r} is not a frozen variable in this call"
                raise GraphError(f"{what}, but is in another", node=node.name)
    # The branches of one node share its result dtypes, so a result is a value in all of them or in none. A
    # loop has one body only; _check_loops has looked at its results.
    if op is None or op.is_loop:
        return
    results = [set(propagation.value_results.get(name, ())) for name in called]
    if any(others != results[0] for others in results):
        raise GraphError(
            f"branches {listed(called)} disagree: only some of them return a variable", node=node.name
        )


def _check_captures(propagation: Propagation, function: str | None, node: messages.NodeDef) -> None:
    """Check what the functions of a node captured, and that they return no variable."""
    if not propagation.value_arguments:
        return
    for captures in captures_of(node):
        name = captures.function.name
        if propagation.value_results.get(name):
            raise GraphError(f"function {name!r} returns a variable", node=node.name)
        for argument in propagation.value_arguments.get(name, ()):
            after = len(propagation.functions[name].signature.input_arg) - argument
            index = captures.inputs.stop - after
            if (
                index not in captures.inputs
                or Destination(function, node.name, index) not in propagation.reached
            ):
                what = f"argument {argument} of {name!r} is not a frozen variable in this call"
                raise GraphError(f"{what}, but is in another", node=node.name)
