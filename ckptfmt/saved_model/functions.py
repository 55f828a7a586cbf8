"""Functions of a TensorFlow 2 model: what its objects can do, and with which arguments.

::

    object ── name ──> SavedFunction            a tf.function, and names of its traces
                       SavedBareConcreteFunction   one trace
    name of a trace ──> SavedConcreteFunction   what it takes, returns and captures
                        FunctionDef             its body, in the library of the graph

A function has one trace for each kind of arguments that it was called with.

Source: TensorFlow ``python/saved_model/function_serialization.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from typing import NamedTuple

from ckptfmt.errors import CkptfmtError, NameNotFoundError
from ckptfmt.notebook.card import Card, Table
from ckptfmt.notebook.completions import first_keys
from ckptfmt.notebook.page import to_html
from ckptfmt.object_graph.keys import escape
from ckptfmt.proto import messages
from ckptfmt.saved_model.cards import value_text, values_table
from ckptfmt.saved_model.structured import NamedValues, Value, decode_value
from ckptfmt.text.closest import closest_names

MAX_PATH = 2000
"""Characters of a path; longer ones are not made.

A small file can nest objects so deep that the paths of all of them would fill the memory.
"""


class ConcreteFunction(NamedTuple):
    """One trace of a function: its body for certain types of arguments."""

    name: str
    """Its name in the library of the graph."""
    arguments: Value
    """Its positional and keyword arguments, nested as they were."""
    returns: Value
    """Its results, nested as they were."""
    captures: tuple[int, ...]
    """Numbers of the objects that it uses without taking them as arguments."""

    @property
    def positional(self) -> tuple[Value, ...]:
        """The positional arguments, in order."""
        return self._sides()[0]

    @property
    def keywords(self) -> dict[str, Value]:
        """The keyword arguments, by name."""
        return self._sides()[1]

    def _card(self) -> Card:
        positional = values_table("Positional arguments", lambda: self.positional)
        keywords = values_table("Keyword arguments", lambda: self.keywords)
        facts = ("returns", lambda: value_text(self.returns)), ("captures", len(self.captures))
        return Card("ConcreteFunction", self.name, facts, [positional, keywords])

    def _repr_html_(self) -> str:
        return to_html(self._card)

    def _sides(self) -> tuple[tuple[Value, ...], dict[str, Value]]:
        given = self.arguments
        if isinstance(given, (tuple, list)) and len(given) == 2:
            positional, keywords = given
            if isinstance(positional, (tuple, list)) and isinstance(keywords, dict):
                return tuple(positional), keywords
        return (() if given is None else (given,)), {}


class ConcreteFunctions(Mapping[str, ConcreteFunction]):
    """The concrete functions of a model by their names in the library, sorted, decoded on access."""

    def __init__(self, stored: Mapping[str, messages.SavedConcreteFunction], file: str) -> None:
        self._stored = stored
        self._file = file

    def __getitem__(self, name: str) -> ConcreteFunction:
        """Return a function.

        Raises NameNotFoundError if no function has that name, CorruptError if its arguments are damaged.
        """
        if name not in self._stored:
            close = closest_names(name, self._stored)
            raise NameNotFoundError(name, file=self._file, noun="concrete function", close_matches=close)
        stored = self._stored[name]
        try:
            arguments = decode_value(stored.canonicalized_input_signature)
            returns = decode_value(stored.output_signature)
        except CkptfmtError as error:
            raise error.at(self._file, label=f"concrete function {name!r}") from None
        return ConcreteFunction(name, arguments, returns, tuple(stored.bound_inputs))

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._stored))

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._stored

    # Comparing would decode them all.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<ConcreteFunctions, {len(self)}>"

    def _repr_html_(self) -> str:
        names = Table("Concrete functions", ("name",), lambda: self, lambda name: (name,), is_open=True)
        return to_html(lambda: Card("ConcreteFunctions", self._file, parts=[names]))

    def _ipython_key_completions_(self) -> list[str]:
        return first_keys(self)


class ObjectFunction:
    """A function of an object of a model, which users call, with one trace or several."""

    def __init__(
        self, node: int, path: str | None, aliases: tuple[str, ...], message: messages.SavedObject, file: str
    ) -> None:
        self.node = node
        """Number of the function among the objects."""
        self.path = path
        """Path from the model, such as ``layer/call``, escaped as in keys; None if it is too long."""
        self.aliases = aliases
        """Other names that the model itself has for it."""
        self._message = message
        self._file = file

    @property
    def traces(self) -> tuple[str, ...]:
        """Names of its concrete functions, sorted."""
        if self._message.WhichOneof("kind") == "function":
            return tuple(sorted(self._message.function.concrete_functions))
        name = self._message.bare_concrete_function.concrete_function_name
        return (name,) if name else ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its positional parameters, empty if they are not stored; ``self`` of a method is left out.

        Raises CorruptError if they cannot be decoded.
        """
        if self._message.WhichOneof("kind") != "function":
            return tuple(self._message.bare_concrete_function.argument_keywords)
        spec = self._message.function.function_spec
        try:
            signature = decode_value(spec.fullargspec)
        except CkptfmtError as error:
            raise error.at(self._file, label=f"function {self.path!r}") from None
        # The fields are those of Python's ``inspect.FullArgSpec``.
        names = signature.fields.get("args") if isinstance(signature, NamedValues) else None
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            return ()
        return tuple(names[1:] if spec.is_method else names)

    def named(self, trace: ConcreteFunction) -> list[tuple[str | None, Value]]:
        """Return the positional arguments of a trace with the names of their parameters, None if unknown.

        Raises CorruptError as :attr:`parameters` does.
        """
        names = self.parameters
        given = trace.positional
        if self._message.WhichOneof("kind") != "function" and len(names) != len(given):
            names = ()  # arguments are nested, and these are the names of the tensors in them
        return list(zip(chain(names, repeat(None)), given, strict=False))

    def __repr__(self) -> str:
        return f"<ObjectFunction {self.path!r}, {len(self.traces)} traces>"

    def _card(self) -> Card:
        facts = (
            ("parameters", lambda: ", ".join(self.parameters) or None),
            ("also named", ", ".join(self.aliases) or None),
        )
        traces = Table(
            "Traces", ("concrete function",), lambda: self.traces, lambda name: (name,), is_open=True
        )
        return Card("ObjectFunction", self.path or "", facts, [traces])

    def _repr_html_(self) -> str:
        return to_html(self._card)


def object_functions(graph: messages.SavedObjectGraph, file: str) -> tuple[ObjectFunction, ...]:
    """Return the functions of objects, each once: the model's own by name, then in the order of a walk.

    Edges to objects that do not exist are skipped.
    """
    # Breadth first, so that a function gets its shortest path. Each object is entered once: linear time.
    objects = graph.nodes
    if not objects:
        return ()
    # Sorted, so that the first of several names is the one in the path, and the others are the aliases.
    own = sorted((child.local_name, child.node_id) for child in objects[0].children)
    names: dict[int, list[str]] = {}
    for name, child in own:
        names.setdefault(child, []).append(name)
    parents: dict[int, tuple[int, str]] = {}
    """For each object, the one that it was met in, and its name there."""
    functions: list[int] = []
    queue, seen = [0], {0}
    # The queue grows while it is walked.
    for number in queue:
        children = ((child.local_name, child.node_id) for child in objects[number].children)
        for name, child in children if number else own:
            if child in seen or not 0 <= child < len(objects):
                continue
            # The root is in it from the start, so every chain of parents ends there.
            seen.add(child)
            parents[child] = number, name
            is_function = objects[child].WhichOneof("kind") in ("function", "bare_concrete_function")
            (functions if is_function else queue).append(child)
    return tuple(
        ObjectFunction(
            number,
            _path(number, parents),
            tuple(map(escape, names.get(number, ())[1:])),
            objects[number],
            file,
        )
        for number in functions
    )


def _path(number: int, parents: Mapping[int, tuple[int, str]]) -> str | None:
    """The names on the way to an object, None if they are too long."""
    parts: list[str] = []
    length = 0
    while number in parents:
        number, name = parents[number]
        length += 1 + len(name)
        if length > MAX_PATH:
            return None
        parts.append(escape(name))
    return "/".join(reversed(parts))
