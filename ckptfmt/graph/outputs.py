"""Outputs: the nodes of a graph that people fetch.

A graph does not say which these are. A frozen graph ends in them, but a graph that trains ends in much else:
gradients, updates of variables, summaries, and the nodes that save and restore. So a node counts as an output
if all of these hold, or as many as some node fulfils:

- it has a value to fetch, not just a handle, and its op is not bookkeeping;
- its value is computed from what is fed to the graph, not only from variables and shapes;
- it does more than pass on what is fed;
- no update, gradient or size of a queue went into it;
- nothing takes its value or waits for it, except observers such as gradients and summaries.

Names count too, since TensorFlow makes gradients, moving averages, initial values and Savers of ordinary ops,
in scopes that it names itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from ckptfmt.dtypes import REF_OFFSET
from ckptfmt.graph.closure import closure
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.ops import RESTORE_OPS, VARIABLE_OPS
from ckptfmt.proto import messages

PLACEHOLDERS = frozenset(("Placeholder", "PlaceholderV2", "PlaceholderWithDefault", "_Arg", "Arg"))
"""Ops that a value is fed to."""

_SOURCES = re.compile(r"IteratorGetNext.*|.*Dequeue.*|ReaderRead.*")
"""Ops that data come from without being fed."""

_SHAPES = r"Shape|ShapeN|Rank|Size"
_UPDATES = r"(Resource|Ref)?(Sparse)?(Apply|Scatter|Assign).*"

_OBSERVERS = re.compile(rf".*Summary(V2)?|Save(V2|Slices)?|BroadcastGradientArgs|{_SHAPES}")
"""Ops that look at a value without making of it what the model computes."""

_BOOKKEEPING = re.compile(
    rf"{_UPDATES}|{_OBSERVERS.pattern}|.*IsInitialized(V2|Op)?|.*ToStringHandle(V2)?|ShardedFilename|Print"
    "|(Ref)?(Switch|Enter|NextIteration|LoopCond|Exit)|Lookup.*(Export|Size).*|.*Queue(Size|IsClosed).*|Reader.*"
    rf"|{_SOURCES.pattern}"
)
"""Ops whose values are not what people fetch."""

_TAINTED = re.compile(rf"{_UPDATES}|.*QueueSize(V2)?|ReaderNum.*")
"""Ops that change state, or count it, so that what is computed from their values is not an output."""

_SERVICE_SCOPE = re.compile(
    r"gradients(_\d+)?|.*_grad|AssignMovingAvg(_\d+)?|ExponentialMovingAverage(_\d+)?|Initializer"
    r"|clip_by_global_norm(_\d+)?|report_uninitialized_.*|zero_fraction(_\d+)?"
)
"""Scopes of nodes that serve training."""

_SAVER_SCOPE = re.compile(r"save(_\d+)?")
"""The first scope of the nodes of a Saver."""

_ASSERT_SCOPE = re.compile(r"(.*/)?(assert_\w*|Assert(_\d+)?)/.*")
"""Nodes of an assertion."""

_CONDITION = re.compile(r"(.*/)?(switch_[tf]|pred_id)")
"""Nodes that ``tf.cond`` makes of its predicate."""

_GUARD = re.compile(r"(.*/)?control_dependency(_\d+)?")
"""Nodes that pass on a value when others have run."""

_SERVICE_FUNCTION = re.compile(
    r"_*(inference_)?_*(traced_(save|restore)_|destroyer_|initializer_|creator_).*"
)
"""Functions in SavedModels of TensorFlow 2 that save, restore, and make, fill or delete tables."""

_CONDITIONAL = frozenset(("If", "StatelessIf", "Case", "StatelessCase", "While", "StatelessWhile"))

PASSING = frozenset(("Identity", "StopGradient", "PreventGradient"))
"""Ops whose value is their input."""

_RESOURCE, _VARIANT = messages.DataType.DT_RESOURCE, messages.DataType.DT_VARIANT
_HANDLES = frozenset((_RESOURCE, _VARIANT, _RESOURCE + REF_OFFSET, _VARIANT + REF_OFFSET))


def find_outputs(
    nodes: Sequence[messages.NodeDef], find_op: Callable[[str], messages.OpDef | None]
) -> tuple[str, ...]:
    """Return the names of the nodes that people fetch, in the order of the graph.

    ``find_op`` returns the definition of an op, or None if it is not known.
    """
    return _Finder(nodes, find_op).find()


class _Finder:
    """The nodes of one graph, and the nodes that take their values."""

    def __init__(
        self, nodes: Sequence[messages.NodeDef], find_op: Callable[[str], messages.OpDef | None]
    ) -> None:
        self._nodes = nodes
        self._by_name = {node.name: node for node in nodes}
        self._takers: dict[str, list[messages.NodeDef]] = {}
        for node in nodes:
            for name in dict.fromkeys(_data_inputs(node)):
                self._takers.setdefault(name, []).append(node)
        self._followers: dict[str, list[str]] = {}
        for node in nodes:
            for text in node.input:
                if text.startswith("^"):
                    self._followers.setdefault(text[1:], []).append(node.name)
        self._find_op = lru_cache(maxsize=None)(find_op)
        self._taken_calls: dict[str, bool] = {}
        # The outputs of a tf.cond, whose names begin with its scope, if the graph takes one of them.
        merges = (node.name for node in nodes if node.op == "Merge" and self._takers.get(node.name))
        self._taken_conditions = {_scope(name) for name in merges}
        # An RNN of TensorFlow 1 computes the length of its shortest sequence, and does not use it.
        self._loops = {_scope(_scope(node.name)) for node in nodes if node.op == "LoopCond"}

    def find(self) -> tuple[str, ...]:
        service = {node.name for node in self._nodes if _is_service(node)}
        tainted = (node.name for node in self._nodes if _matches(_TAINTED, node.op))
        barred = closure(service.union(tainted), self._taken_by)
        observers = service.union(node.name for node in self._nodes if self._is_observer(node))
        ends = [
            node
            for node in self._nodes
            if node.name not in barred
            and observers.issuperset(self._taken_by(node.name))
            and observers.issuperset(self._followers.get(node.name, ()))
            and not self._is_aside(node)
            and self._has_value(node)
        ]
        fed = closure(
            (node.name for node in self._nodes if _is_source(node)),
            lambda name: self._taken_by(name, through_shapes=False),
        )
        computed = [node for node in ends if not self._is_read(node)]
        # A frozen graph has only what its outputs need, so a constant that nothing takes is one of them.
        is_frozen = not service and not any(node.op in VARIABLE_OPS for node in self._nodes)
        best = [node for node in computed if node.name in fed and not self._is_fed(node)]
        if best and is_frozen:
            kept = {node.name for node in best}.union(node.name for node in ends if node.op == "Const")
            best = [node for node in ends if node.name in kept]
        for chosen in (best, [node for node in ends if node.name in fed], computed, ends):
            if chosen:
                return tuple(node.name for node in chosen)
        return ()

    def _taken_by(self, name: str, *, through_shapes: bool = True) -> Iterator[str]:
        return (
            taker.name
            for taker in self._takers.get(name, ())
            if through_shapes or not _matches(_OBSERVERS, taker.op)
        )

    def _is_observer(self, node: messages.NodeDef) -> bool:
        return bool(
            _matches(_OBSERVERS, node.op) or (_GUARD.fullmatch(node.name) and not self._takers.get(node.name))
        )

    def _is_aside(self, node: messages.NodeDef) -> bool:
        """Return whether people do not fetch a node, whatever it computes."""
        scope = _scope(node.name)
        above = self._by_name.get(scope)
        return bool(
            node.op in PLACEHOLDERS
            or _matches(_BOOKKEEPING, node.op)
            or _ASSERT_SCOPE.fullmatch(node.name)
            or _CONDITION.fullmatch(node.name)
            or _GUARD.fullmatch(node.name)
            # An argument that is made for an observer, such as ``Rank/packed``.
            or (above is not None and _matches(_OBSERVERS, above.op))
            or (node.op == "Merge" and scope in self._taken_conditions)
            or (node.op == "Min" and scope in self._loops)
            or self._is_spare(node)
        )

    def _is_spare(self, node: messages.NodeDef) -> bool:
        """Return whether a node is an output of a conditional or loop whose other outputs the graph takes.

        TensorFlow 2 gives each output an Identity below the name of the conditional, even if only gradients
        need it.
        """
        source = self._source(node)
        if source is None or source.op not in _CONDITIONAL or _scope(node.name) != source.name:
            return False
        # Looked up once for all outputs: there may be many.
        if source.name not in self._taken_calls:
            siblings = self._takers.get(source.name, ())
            self._taken_calls[source.name] = any(self._takers.get(each.name) for each in siblings)
        return self._taken_calls[source.name]

    def _source(self, node: messages.NodeDef) -> messages.NodeDef | None:
        """Return the node whose value a node passes on; None if it does more."""
        if node.op not in PASSING and node.op != "ReadVariableOp":
            return None
        return self._by_name.get(next(_data_inputs(node), ""))

    def _is_fed(self, node: messages.NodeDef) -> bool:
        source = self._source(node)
        return source is not None and _is_source(source)

    def _is_read(self, node: messages.NodeDef) -> bool:
        """Return whether a node is a constant or a variable, or only reads one."""
        return any(
            each is not None and (each.op in VARIABLE_OPS or each.op in ("Const", "ImmutableConst"))
            for each in (node, self._source(node))
        )

    def _has_value(self, node: messages.NodeDef) -> bool:
        """Return whether a node has an output that is more than a handle, as far as is known."""
        op = self._find_op(node.op)
        return op is None or any(
            code not in _HANDLES for argument in op.output_arg for code in _codes(argument, node)
        )


def _data_inputs(node: messages.NodeDef) -> Iterator[str]:
    return (parse_output(text).node for text in node.input if not text.startswith("^"))


@lru_cache(maxsize=4096)
def _matches(pattern: re.Pattern[str], op: str) -> bool:
    # A graph has many nodes of few ops, and many in few scopes.
    return pattern.fullmatch(op) is not None


@lru_cache(maxsize=4096)
def _is_service_scope(scope: str) -> bool:
    scopes = scope.split("/")
    return _SAVER_SCOPE.fullmatch(scopes[0]) is not None or any(map(_SERVICE_SCOPE.fullmatch, scopes))


def _is_source(node: messages.NodeDef) -> bool:
    return node.op in PLACEHOLDERS or _matches(_SOURCES, node.op)


def _scope(name: str) -> str:
    return name.rpartition("/")[0]


def _is_service(node: messages.NodeDef) -> bool:
    """Return whether a node belongs to a Saver, or serves nothing but training."""
    if node.op in RESTORE_OPS or _is_service_scope(_scope(node.name)):
        return True
    called = node.attr["f"].func.name if "f" in node.attr else ""
    return _matches(_SERVICE_FUNCTION, node.op) or _matches(_SERVICE_FUNCTION, called)


def _codes(argument: messages.OpDef.ArgDef, node: messages.NodeDef) -> Sequence[int]:
    """Return the dtypes of an output of a node; 0 for one that is not known."""
    if argument.type_list_attr:
        return node.attr[argument.type_list_attr].list.type if argument.type_list_attr in node.attr else [0]
    if argument.type_attr in node.attr:
        return [node.attr[argument.type_attr].type]
    return [argument.type]
