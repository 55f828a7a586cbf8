"""Cards: SavedModels and what belongs to them, as notebooks show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ckptfmt.checkpoint.cards import name_cell
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.graph.cards import graph_card
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.meta.variables import Source
from ckptfmt.notebook.card import Card, Cell, Fact, Part, Table
from ckptfmt.notebook.fields import brief
from ckptfmt.text.printing import shape_text, size_text


class Shown(Protocol):
    """A SavedModel."""

    @property
    def directory(self) -> str:
        """Its directory."""

    @property
    def meta_graphs(self) -> Sequence[MetaGraph]:
        """All its meta graphs."""

    @property
    def meta_graph(self) -> MetaGraph:
        """The selected meta graph."""

    @property
    def variables(self) -> Any:  # noqa: ANN401  (ModelVariables, which has a card of its own)
        """The variables."""

    @property
    def functions(self) -> Mapping[str, object]:
        """The functions, by name."""

    @property
    def object_functions(self) -> Sequence[Any]:
        """The functions of its objects."""

    @property
    def assets(self) -> Mapping[str, Any]:
        """The files that it reads, by name."""


def model_card(model: Shown) -> Card:
    """Return the card of a SavedModel: no variable is read, and no constant decoded."""
    if len(model.meta_graphs) > 1:
        return Card(
            "SavedModel",
            model.directory,
            [("meta graphs", len(model.meta_graphs))],
            [meta._card() for meta in model.meta_graphs],
        )
    meta = model.meta_graph
    facts: list[tuple[str, Fact]] = [
        ("tags", ", ".join(sorted(meta.tags)) or None),
        ("TensorFlow", meta.tensorflow_version or None),
        ("variables", lambda: len(model.variables) or None),
        ("functions", lambda: len(model.functions) or None),
    ]
    functions = Table(
        "Functions of its objects",
        ("path", "traces"),
        lambda: model.object_functions,
        lambda function: (function.path or "", len(function.traces)),
    )
    parts: list[Part] = [
        *meta.signatures._cards(),
        model_variables_table(lambda: model.variables),
        functions,
        assets_table(lambda: model.assets),
        graph_card(meta.graph),
    ]
    return Card("SavedModel", model.directory, facts, parts)


def model_variables_table(variables: Callable[[], Any]) -> Table:
    """Return the table of the variables of a model, with dtypes and shapes of what they are restored from."""

    def cells(name: str) -> list[Cell]:
        held = variables()
        entry: Entry | None = held._entry(name)
        source: Source = held.sources[name]
        stored = None if source.name == name else name_cell(source.name)
        if entry is None:
            return [name, None, None, None, stored]
        shape = entry.shape if source.region is None else [stop - start for start, stop in source.region]
        size = size_text(entry.nbytes) if source.region is None else None
        return [name, entry.dtype.name, shape_text(tuple(shape)), size, stored]

    columns = ("name", "dtype", "shape", "size", "in the checkpoint")
    return Table("Variables", columns, variables, cells)


def assets_table(assets: Callable[[], Mapping[str, Any]]) -> Table:
    """Return the table of the files that a model reads."""

    def cells(name: str) -> list[Cell]:
        asset = assets()[name]
        return [name, asset.tensor, "exists" if asset.exists else "missing"]

    return Table("Assets", ("file", "tensor", ""), assets, cells)


def values_table(title: str, values: Callable[[], Mapping[str, object] | Sequence[object]]) -> Table:
    """Return arguments, by name or by position, as a table."""

    def items() -> list[tuple[str, str]]:
        given = values()
        pairs = given.items() if isinstance(given, Mapping) else enumerate(given)
        return [(str(name), value_text(value)) for name, value in pairs]

    return Table(title, ("argument", "value"), items, lambda pair: pair, is_open=True)


def value_text(value: object) -> str:
    """Return a value in a signature in a few words: a tensor by its dtype and shape."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is not None and not hasattr(value, "__array__"):
        name = getattr(value, "name", "")
        return f"{dtype}{shape_text(shape)}{f' {name}' if name else ''}"
    return brief(value)
