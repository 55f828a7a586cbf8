"""Pictures of graphs: their nodes or scopes, with functions as clusters of their own or inlined."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable
from typing import NamedTuple

from ckptfmt.dtypes import DType
from ckptfmt.errors import CorruptError, LimitError
from ckptfmt.graph.calls import CALL_OPS
from ckptfmt.graph.function import Function
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.node import GraphNode, OutputName
from ckptfmt.graph.outputs import PLACEHOLDERS
from ckptfmt.pictures.bodies import Bodies, Body, Source
from ckptfmt.pictures.picture import Box, Picture, Sketch, tensor_text

MAX_BOXES = 100_000
"""The most boxes of a picture. Programs that draw take minutes for a few thousand."""

_CONSTANTS = frozenset(("Const", "ImmutableConst"))


class Drawing(NamedTuple):
    """A picture, and how deep it goes."""

    picture: Picture
    depth: int | None
    """The depth that scopes were collapsed to so that the picture is small enough; None if none were."""
    has_functions: bool = True
    """Whether functions are drawn; they are left out if even collapsed scopes are too many."""


def draw_graph(
    graph: Graph,
    *,
    depth: int | None = None,
    inline: bool = False,
    boxes: int = MAX_BOXES,
    arrows: int = MAX_BOXES,
) -> Drawing:
    """Return a picture of a graph and its functions.

    Parameters
    ----------
    depth
        How many scopes deep it goes: nodes in deeper scopes become one box for each scope. By default all
        nodes are drawn, or as deep as leaves no more than these numbers of ``boxes`` and ``arrows``.
    inline
        Whether to draw functions in the place of their calls.

    Raises
    ------
    LimitError
        It takes more than :data:`MAX_BOXES` boxes, however deep it goes, or inlined functions more nodes.
    CorruptError
        A function has two nodes of one name, or a node claims too many outputs.
    """
    bodies = Bodies(graph)
    if not inline:
        bodies.add_functions()
    elif not bodies.inline(MAX_BOXES):
        raise LimitError(
            "nodes with all functions inlined", limit=MAX_BOXES, asked=MAX_BOXES + 1, file=graph.file
        )
    if depth is not None:
        return Drawing(_drawn(bodies, depth), None)
    has_functions = inline or _count_boxes(bodies, 1, boxes) <= boxes
    if not has_functions:
        bodies = Bodies(graph)
    deepest = max((name.count("/") + 1 for body in bodies.all for name in body.nodes), default=1)
    # A deeper picture has all boxes and arrows of a flatter one, or what these consist of, so that the depth
    # is found by bisection: names may have any number of scopes.
    fitting = _deepest(1, deepest, lambda each: _count_boxes(bodies, each, boxes) <= boxes)
    picture = _drawn(bodies, fitting)
    if len(picture.arrows) > arrows:
        fitting = _deepest(1, fitting - 1, lambda each: len(_drawn(bodies, each).arrows) <= arrows)
        picture = _drawn(bodies, fitting)
    return Drawing(picture, None if fitting == deepest else fitting, has_functions)


def _deepest(flat: int, deep: int, fits: Callable[[int], bool]) -> int:
    """Return the last of some depths that fits, if all before it do; the first if none does."""
    if deep <= flat or fits(deep):
        return max(flat, deep)
    return max(flat, bisect_left(range(flat, deep), True, key=lambda each: not fits(each)) + flat - 1)


def _count_boxes(bodies: Bodies, depth: int, limit: int) -> int:
    """Return how many boxes a picture has, or some number above a limit."""
    seen: set[Hashable] = set()
    for body in bodies.all:
        for name in body.nodes:
            seen.add(_box_key(body, name, depth))
            if len(seen) > limit:
                return len(seen)
        if body.parent is None:
            seen.update(_argument_key(body, argument) for argument in body.arguments)
    return len(seen)


def _box_key(body: Body, name: str, depth: int) -> Hashable:
    """Return the key of the box that a node is in: its own, or that of the scope that hides it.

    A scope hides all that the nodes in it call.
    """
    key = (id(body), _hidden_by(name, depth))
    while body.parent is not None:
        assert body.call is not None
        call, body = body.call.name, body.parent
        scope = _hidden_by(call, depth)
        if scope != call:
            key = (id(body), scope)
    return key


def _hidden_by(name: str, depth: int) -> str:
    """Return the scope that a node is drawn as; its own name if it is not that deep."""
    parts = name.split("/", depth)
    return "/".join(parts[:depth])


def _drawn(bodies: Bodies, depth: int) -> Picture:
    return _Drawer(bodies, depth).draw()


class _Drawer:
    """The picture of some bodies at one depth."""

    def __init__(self, bodies: Bodies, depth: int) -> None:
        self._bodies = bodies
        self._depth = depth
        self._sketch = Sketch()
        self._clusters: dict[int, int] = {}
        self._sizes: Counter[Hashable] = Counter()
        """Nodes in each box."""
        self._is_inlined = all(body.parent is not None for body in bodies.all[1:])
        self._own: dict[str, int] = {}
        """Name of a function that is not inlined -> its cluster."""

    def draw(self) -> Picture:
        for body in self._bodies.all:
            self._sizes.update(_box_key(body, name, self._depth) for name in body.nodes)
        if len(self._sizes) > MAX_BOXES:
            raise LimitError(
                f"boxes at depth {self._depth}",
                limit=MAX_BOXES,
                asked=len(self._sizes),
                file=self._bodies.graph.file,
            )
        for body in self._bodies.all:
            self._add_boxes(body)
        for body in self._bodies.all:
            for node in body.nodes.values():
                self._add_inputs(body, node)
            if body.function is not None and body.parent is None:
                self._add_results(body)
        return self._sketch.picture()

    # --- boxes -------------------------------------------------------------------------------------------

    def _add_boxes(self, body: Body) -> None:
        if body.function is not None and body.parent is None:
            self._add_arguments(body, body.function)
        for node in body.nodes.values():
            key, scope = _box_key(body, node.name, self._depth), _hidden_by(node.name, self._depth)
            if key in self._sketch.boxes or key != (id(body), scope):
                continue  # a scope of the caller may hide the whole body
            if self._sizes[key] > 1:
                text = f"{self._sizes[key]:,} nodes"
                self._sketch.add_box(key, Box((scope, text), "scope", self._cluster(body)))
            elif node.name not in body.inlined:
                lines = _lines(node.name, node.op, self._fed_type(body, node))
                own = node.name if body is self._bodies.root else None
                self._sketch.add_box(key, Box(lines, "node", self._cluster(body), own))

    def _add_arguments(self, body: Body, function: Function) -> None:
        """Add boxes for what a function that stands alone takes and returns."""
        cluster = self._own[function.name] = self._sketch.add_cluster(function.name, None)
        self._clusters[id(body)] = cluster
        for argument in function.inputs:
            kind = self._type(Source(body, OutputName(argument.name)))
            lines = _lines(argument.name, "argument", kind or _dtype_text(argument.dtype))
            self._sketch.add_box(_argument_key(body, argument.name), Box(lines, "argument", cluster))
        for argument in function.outputs:
            lines = _lines(argument.name, "result", _dtype_text(argument.dtype))
            self._sketch.add_box(_result_key(body, argument.name), Box(lines, "argument", cluster))
        if not (body.nodes or function.inputs or function.outputs):
            self._sketch.add_box((id(body), "", "empty"), Box(("(empty)",), "argument", cluster))

    def _fed_type(self, body: Body, node: GraphNode) -> str:
        """Return the type of a node that a value is fed to."""
        if node.op not in PLACEHOLDERS:
            return ""
        return self._type(Source(body, OutputName(node.name)))

    def _type(self, place: Source) -> str:
        try:
            tensor = self._bodies.tensor(place)
        except CorruptError:
            return ""  # the picture of a damaged graph shows what is not damaged
        return tensor_text(tensor)

    def _cluster(self, body: Body) -> int | None:
        """Return the number of a body's cluster, made when something is in it; None for the graph."""
        if body.function is None:
            return None
        if id(body) not in self._clusters:
            chain = [body]
            while chain[-1].parent is not None and chain[-1].parent.function is not None:
                chain.append(chain[-1].parent)
            for each in reversed(chain):
                if id(each) in self._clusters:
                    continue
                assert each.function is not None
                parent = None if each.parent is None else self._clusters.get(id(each.parent))
                title = each.function.name if each.call is None else f"{each.call.name}: {each.function.name}"
                self._clusters[id(each)] = self._sketch.add_cluster(title, parent)
        return self._clusters[id(body)]

    # --- arrows ------------------------------------------------------------------------------------------

    def _add_inputs(self, body: Body, node: GraphNode) -> None:
        """Add the arrows that lead to a node."""
        if node.name in body.inlined:
            return
        target = _box_key(body, node.name, self._depth)
        branches = body.branches.get(node.name, [])
        inputs = node.inputs
        if branches and not CALL_OPS[node.op].is_loop:
            inputs = inputs[: CALL_OPS[node.op].first_argument]  # the branches take the others
        for output in inputs:
            self._add_arrow(body, output, target)
        for name in node.control_inputs:
            self._add_arrow(body, OutputName(name), target, is_control=True)
        for branch in branches:
            for output in branch.results():
                self._add_arrow(branch, output, target)
        if not self._is_inlined:
            for name in sorted(self._bodies.graph.functions.called_by([node._outlined])):
                if name in self._own:
                    self._sketch.add_call(target, self._own[name])

    def _add_results(self, body: Body) -> None:
        """Add the arrows to what a function returns."""
        assert body.function is not None
        for name, output in body.function.returns.items():
            self._add_arrow(body, output, _result_key(body, name))

    def _add_arrow(
        self, body: Body, output: OutputName, target: Hashable, *, is_control: bool = False
    ) -> None:
        place = self._bodies.source(body, output)
        if place is None:
            return  # from a node that does not exist
        node = place.body.nodes.get(place.output.node)
        if node is None:
            source = _argument_key(place.body, place.output.node)
        else:
            source = _box_key(place.body, node.name, self._depth)
        if source == target and self._sizes[source] > 1:
            return  # within a scope
        label = ""
        if not is_control:
            shape = "" if node is None or node.op in _CONSTANTS else self._type(place)
            label = " ".join(filter(None, (str(output.number or ""), shape)))
        self._sketch.add_arrow(source, target, "control" if is_control else "data", label)


def _argument_key(body: Body, name: str) -> Hashable:
    return id(body), name, "argument"


def _result_key(body: Body, name: str) -> Hashable:
    return id(body), name, "result"


def _dtype_text(dtype: DType | None) -> str:
    return "" if dtype is None else dtype.name


def _lines(*lines: str) -> tuple[str, ...]:
    return tuple(filter(None, lines))
