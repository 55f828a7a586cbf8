"""Pictures that a user asks for: of the layers of a model, or of the nodes of its graph."""

from __future__ import annotations

from contextlib import suppress

import ckptfmt
from ckptfmt import Graph, errors
from ckptfmt.cli.options import given_limits
from ckptfmt.cli.render.output import note
from ckptfmt.filetype.kinds import Holds
from ckptfmt.filetype.paths import recognise_path
from ckptfmt.pictures.layers import Layers, draw_layers
from ckptfmt.pictures.nodes import draw_graph
from ckptfmt.pictures.picture import Picture
from ckptfmt.storage.local import LOCAL

_BOUNDS = {"mermaid": (250, 500), "dot": (1_000, 3_000), "svg": (200, 400)}
"""The most boxes and arrows of a picture unless its depth is given. Mermaid draws 500 arrows by default;
Graphviz takes seconds for the others."""

PICTURES = ("dot", "mermaid", "svg")
"""The forms of pictures."""


def draw(
    path: str, graph: Graph, tags: list[str] | None, target: str, depth: int | None, *, inline: bool
) -> Picture:
    """Return the picture of a graph, or of the layers of a Keras model unless depth or inlining is given.

    A note on stderr says what is not shown.
    """
    if depth is None and not inline:
        layers = _draw_layers(path, tags)
        if layers is not None:
            what = "layers of the model" if layers.is_described else "scopes in which the model computes"
            note(f"these are the {what}; --depth and --inline draw the nodes of its graph")
            return layers.picture
    boxes, arrows = _BOUNDS[target]
    drawing = draw_graph(graph, depth=depth, inline=inline, boxes=boxes, arrows=arrows)
    if drawing.depth is not None:
        note(f"scopes are collapsed to depth {drawing.depth}, so that the picture stays small; see --depth")
    if not drawing.has_functions:
        note("functions are left out, since they have too many nodes; --depth draws them")
    return drawing.picture


def _draw_layers(path: str, tags: list[str] | None) -> Layers | None:
    with suppress(errors.CkptfmtError, OSError):  # the graph has been read; only its layers are unknown
        kind = recognise_path(LOCAL, path)
        if LOCAL.path_type(path) == "directory" or (kind is not None and kind.holds is Holds.SAVED_MODEL):
            with ckptfmt.open_saved_model(path, tags=tags, limits=given_limits()) as model:
                return draw_layers(model)
    return None
