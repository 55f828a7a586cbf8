"""Propagation: following the values of variables through a graph, and changing all nodes that they reach.

A variable is a handle, which nodes pass on until one of them reads it. Once the variable is a constant, the
value itself flows along the same edges, so every node on the way has to take a value instead of a handle::

    VarHandleOp ── Enter ── While(body, cond) ── ReadVariableOp        before
    Const       ── Enter ── While(body, cond) ── Identity              after
                            and so in the functions "body" and "cond"

An edge leads to a destination: an input of a node, or an argument or result of a function. Each destination
is visited once, from a worklist, so the time is linear in the edges that carry variables, even through loops
and recursive functions. What happens there depends on the op of the node:

- It passes the handle on (Identity, Enter, Switch …): its dtype becomes that of the value, which goes on
  along its outputs.
- It reads the variable or asks about it: the node is replaced (:mod:`ckptfmt.graph.freeze.replace`), and the
  way ends.
- It calls functions: the value enters them as an argument. A result that it reaches is a result of every node
  that calls the function. The results of a loop are its arguments, so the value also goes on from the loop.
- It calls functions that captured the variable (:mod:`ckptfmt.graph.captures`): the value enters them too.
- Any other op that takes a handle or a reference writes the variable or does something unknown, and freezing
  fails.

An old variable is a reference, which only ops such as RefSwitch pass on: these become Switch and so on. All
others take its value, like any tensor, and what they return has nothing to do with the variable any more.

A function has one body for all its calls, so it is followed and changed once, with the value that reached it
first. Other calls may pass other variables of the same dtype. To know which variable a call returns, a value
carries the number of the argument through which it came into the function.

Nothing is computed and no constant is folded: all other nodes stay as they are, and so do control inputs.

Unlike TensorFlow's ``convert_variables_to_constants``, this converts gathers in functions, handles that
functions return, and the oldest kind of variable; and it raises an error where TensorFlow would make a graph
that computes something else.

Source: TensorFlow ``python/framework/convert_to_constants.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import NamedTuple

from ckptfmt.dtypes import DType
from ckptfmt.errors import GraphError
from ckptfmt.graph.calls import (
    CALL_OPS,
    CallOp,
    forget_argument_shape,
    forget_result_shape,
    function_attributes,
    set_dtype,
)
from ckptfmt.graph.captures import Captures, captures_of
from ckptfmt.graph.freeze.body import Body
from ckptfmt.graph.freeze.replace import REPLACEMENTS
from ckptfmt.graph.ops import known_ops
from ckptfmt.proto import messages

_PASSING = frozenset(("Identity", "Enter", "Exit", "NextIteration", "Switch", "_SwitchN", "Merge"))
"""Ops that pass a handle on, and have its dtype as attribute ``T``."""

_PASSING_VALUES = {f"Ref{op}": op for op in ("Identity", "Enter", "Exit", "NextIteration", "Switch", "Merge")}
"""Ops that pass a reference on, and what they become: they refuse a value, which is no reference."""

_WRITING = ("Assign", "Scatter", "Apply", "Update", "CountUpTo", "DestroyResource", "Rng", "Stateful")
"""Words in the names of ops that write variables. They only choose between two error messages."""


class FrozenValue(NamedTuple):
    """The value that a variable has become."""

    variable: str
    """The name of the variable's node."""
    dtype: DType
    """Its dtype."""
    is_resource: bool
    """Whether the variable was a handle, which only some ops take, and not a reference."""
    argument: int | None = None
    """Number of the argument through which it came into the function that it is in; None in the graph."""


class Destination(NamedTuple):
    """The end of an edge: an input of a node, or an argument or result of a function."""

    function: str | None
    """The function in whose body it is, None for the graph."""
    node: str | None
    """The node; None if it is the function itself."""
    number: int
    """Number of the input, of the argument or of the result."""
    is_result: bool = False
    """Whether it is a result of the function."""


class CallSite(NamedTuple):
    """A node that calls a function."""

    function: str | None
    """The function in whose body it is, None for the graph."""
    node: str
    """The node."""


class Propagation:
    """Follows the values of variables through a graph, and changes in place what they reach."""

    def __init__(self, graph: messages.GraphDef, initializing: Set[tuple[str | None, str | None]]) -> None:
        """Take a graph; ``initializing`` as of :func:`~ckptfmt.graph.freeze.initializing.initializing`."""
        self.graph = graph
        self._initializing = initializing
        self.functions = {function.signature.name: function for function in graph.library.function}
        """The functions of the library, by their names before the change."""
        self.reached: dict[Destination, FrozenValue] = {}
        """The value that reached each destination first."""
        self.value_arguments: dict[str, set[int]] = {}
        """Function -> its arguments that have become values."""
        self.value_results: dict[str, dict[int, FrozenValue]] = {}
        """Function -> its results that have become values."""
        self.call_sites: dict[str, dict[CallSite, None]] = {}
        """Function that a value has entered -> the nodes through which it has, in order."""
        self._wanting: dict[tuple[str, int | None], list[CallSite]] = {}
        """Function and result -> the nodes that call the function and want the result; None for all of its
        results."""
        self._wanted: dict[CallSite, set[int]] = {}
        """Node whose op is a function -> the results of it that matter."""
        self._results_from: dict[tuple[str, int | None], list[int]] = {}
        """Function and argument -> the results through which its value leaves the function."""
        self._bodies: dict[str | None, Body] = {None: Body(graph, self.functions)}
        self._waiting: list[tuple[Destination, FrozenValue]] = []

    def body(self, function: str | None) -> Body:
        """Return the body of a function, or that of the graph for None."""
        body = self._bodies.get(function)
        if body is None:
            assert function is not None
            body = self._bodies[function] = Body(self.functions[function], self.functions)
        return body

    def node(self, site: CallSite) -> messages.NodeDef:
        """Return a node that calls a function."""
        return self.body(site.function).nodes[site.node]

    def follow(self, value: FrozenValue) -> None:
        """Follow the value of a variable, whose node is a constant already.

        Raises
        ------
        GraphError
            A node that takes the variable cannot take a value instead, or a call does not fit its function.
        """
        # ``reached`` grows over all variables. Any order will do, so a list used as a stack is the worklist.
        self._send(None, value.variable, value)
        while self._waiting:
            destination, value = self._waiting.pop()
            known = self.reached.get(destination)
            if known is None:
                self.reached[destination] = value
                self._arrive(destination, value)
            elif known.dtype != value.dtype:
                # For example, one function called with two variables: an argument has only one dtype.
                raise GraphError(
                    f"takes variables of several dtypes: {known.dtype.name} of {known.variable!r} "
                    f"and {value.dtype.name} of {value.variable!r}",
                    node=destination.node or destination.function,
                )

    def _send(self, function: str | None, name: str, value: FrozenValue, output: int | None = None) -> None:
        """Send a value along the edges from a node or argument, or from one output of it."""
        body = self.body(function)
        for node, index in body.consumers(name, output):
            self._waiting.append((Destination(function, node.name, index), value))
        for index in body.results(name, output):
            self._waiting.append((Destination(function, None, index, is_result=True), value))

    def _arrive(self, destination: Destination, value: FrozenValue) -> None:
        """Change the node or function that a value has reached, and send the value on from there."""
        function, name, index, is_result = destination
        if name is None:
            assert function is not None
            if is_result:
                self._leave_function(function, index, value)
            else:
                self._enter_function(function, index, value)
            return
        body = self.body(function)
        node = body.nodes[name]
        if not value.is_resource and node.op not in REPLACEMENTS:
            # What takes the value takes a constant too. The predicate of a RefSwitch is one.
            if node.op not in _PASSING_VALUES or (node.op == "RefSwitch" and index > 0):
                _check_takes_value(node, index, value)
                return
            node.op = _PASSING_VALUES[node.op]
        if node.op in _PASSING:
            node.attr["T"].type = value.dtype.code
            # The shape was that of a handle, a scalar.
            node.attr.pop("_output_shapes", None)
            # The second output of a Merge is the number of the input that it took.
            self._send(function, name, value, 0 if node.op == "Merge" else None)
        elif node.op == "IdentityN":
            set_dtype(node, "T", index, value.dtype.code)
            forget_result_shape(node, index)
            self._send(function, name, value, index)
        elif node.op in REPLACEMENTS:
            REPLACEMENTS[node.op](body, node, value.dtype)
        elif node.op == "AssignVariableOp" and index == 0 and self._is_initializing(function, name):
            # It has no output, and the variable has the value that a checkpoint says.
            node.Clear()
            node.name, node.op = name, "NoOp"
        elif node.op in self.functions:
            self._call(node.op, CallSite(function, name), index, value)
        elif node.op in CALL_OPS:
            self._arrive_at_call(CALL_OPS[node.op], CallSite(function, name), index, value)
        elif (
            captures := next((each for each in captures_of(node) if index in each.inputs), None)
        ) is not None:
            self._arrive_at_captures(captures, node, index, value)
        else:
            _check_takes_value(node, index, value)

    def _is_initializing(self, function: str | None, node: str) -> bool:
        return ((None, node) if function is None else (function, None)) in self._initializing

    def _arrive_at_call(self, op: CallOp, site: CallSite, index: int, value: FrozenValue) -> None:
        """Let a value that a node takes enter all functions that the node calls."""
        argument = index - op.first_argument
        node = self.node(site)
        if argument < 0:
            _check_takes_value(node, index, value)
        set_dtype(node, op.argument_dtypes, argument, value.dtype.code)
        for called in function_attributes(node, op.functions):
            self._call(called.name, site, argument, value)
        if op.is_loop:
            # Even a loop of no rounds returns its arguments. check_calls sees to it that the body returns
            # each in its own place.
            forget_result_shape(node, argument)
            self._send(site.function, site.node, value, argument)

    def _arrive_at_captures(
        self, captures: Captures, node: messages.NodeDef, index: int, value: FrozenValue
    ) -> None:
        """Let a value that a function captured enter it; :func:`check_calls` refuses to return it."""
        function = self._called(captures.function.name, node)
        set_dtype(node, captures.dtypes, index - captures.inputs.start, value.dtype.code)
        argument = len(function.signature.input_arg) - (captures.inputs.stop - index)
        if argument < 0:
            what = f"function {captures.function.name!r} has fewer arguments than it captured tensors"
            raise GraphError(what, node=node.name)
        self._waiting.append((Destination(captures.function.name, None, argument), value))

    def _called(self, name: str, node: messages.NodeDef) -> messages.FunctionDef:
        """Return a function that a node calls."""
        if name not in self.functions:
            raise GraphError(f"calls {name!r}, which is not in the library", node=node.name)
        return self.functions[name]

    def _call(self, name: str, site: CallSite, argument: int, value: FrozenValue) -> None:
        """Let a value enter one function that a node calls."""
        self._called(name, self.node(site))
        self._waiting.append((Destination(name, None, argument), value))
        sites = self.call_sites.setdefault(name, {})
        if site not in sites:
            sites[site] = None
            self._want_results(name, site)
        # If another node has called the function before, the body is not followed again: the results that
        # come from this argument are known.
        results: Collection[int] = self._results_from.get((name, argument), ())
        wanted = self._wanted.get(site)
        if wanted is not None and len(wanted) < len(results):
            # Otherwise the work would be that of all calls times all results.
            results = [result for result in wanted if result in self.value_results.get(name, ())]
        for result in results:
            returned = self.value_results[name][result]
            if returned.argument == argument:
                self._return_to(site, result, returned)

    def _want_results(self, name: str, site: CallSite) -> None:
        """Note which results of a function matter to a node that calls it.

        The dtypes of all are listed in a node that calls it through an attribute. If the function is the op
        of the node, nothing in the node changes except shapes.
        """
        node = self.node(site)
        if node.op not in self.functions:
            self._wanting.setdefault((name, None), []).append(site)
            return
        shapes = node.attr["_output_shapes"].list.shape if "_output_shapes" in node.attr else ()
        wanted = {*self.body(site.function).taken_outputs(site.node), *range(len(shapes))}
        self._wanted[site] = wanted
        for result in wanted:
            self._wanting.setdefault((name, result), []).append(site)

    def _enter_function(self, name: str, index: int, value: FrozenValue) -> None:
        """Turn an argument of a function into a value, and follow it in the body."""
        function = self.functions[name]
        self.value_arguments.setdefault(name, set()).add(index)
        if index >= len(function.signature.input_arg):
            raise GraphError(f"function {name!r} has no argument {index}")
        argument = function.signature.input_arg[index]
        argument.type = value.dtype.code
        argument.ClearField("handle_data")
        forget_argument_shape(function, index)
        self._send(name, argument.name, value._replace(argument=index))

    def _leave_function(self, name: str, index: int, value: FrozenValue) -> None:
        """Turn a result of a function into a value, for every node that calls the function."""
        result = self.functions[name].signature.output_arg[index]
        result.type = value.dtype.code
        result.ClearField("handle_data")
        self.value_results.setdefault(name, {})[index] = value
        self._results_from.setdefault((name, value.argument), []).append(index)
        # A value can only have come in through a call, since functions have no variables of their own.
        for site in (*self._wanting.get((name, None), ()), *self._wanting.get((name, index), ())):
            self._return_to(site, index, value)

    def _return_to(self, site: CallSite, result: int, returned: FrozenValue) -> None:
        """Send on the value that a node gets back from the function that it calls."""
        assert returned.argument is not None
        node = self.node(site)
        op = None if node.op in self.functions else CALL_OPS[node.op]
        if op is not None and op.is_loop:
            return  # sent on when it arrived as an argument
        first_argument = 0 if op is None else op.first_argument
        # ``returned`` may be the variable of another call. This one gets back what it passed itself; if that
        # has not arrived yet, the result is sent when it does.
        value = self.reached.get(Destination(*site, first_argument + returned.argument))
        if value is None:
            return
        if op is not None:
            set_dtype(node, op.result_dtypes, result, value.dtype.code)
        forget_result_shape(node, result)
        self._send(site.function, site.node, value, result)


def _check_takes_value(node: messages.NodeDef, index: int, value: FrozenValue) -> None:
    """Raise GraphError if an op takes the variable itself, not its value."""
    known = known_ops().get(node.op)
    arguments = known.input_arg if known else ()
    # Inputs are counted as if only the last argument could be a list. That is right for all ops that take
    # references, and whether the argument is a reference is all that matters.
    argument = arguments[min(index, len(arguments) - 1)] if arguments else None
    if not value.is_resource and not (argument is not None and argument.is_ref):
        return
    if any(word in node.op for word in _WRITING):
        what = f"{node.op} writes variable {value.variable!r} on the way to an output: pass keep= to keep it"
        raise GraphError(what, node=node.name)
    raise GraphError(f"{node.op} of variable {value.variable!r} cannot be frozen", node=node.name)
