"""Diagrams: a picture as text that Graphviz or Mermaid draws."""

from __future__ import annotations

from collections.abc import Iterator

from ckptfmt.cli.render.text import escape
from ckptfmt.pictures.picture import Arrow, Picture

MAX_LABEL = 120
"""Characters of the longest line in a box; a longer one is shortened in the middle."""

MAX_ID = 1_000
"""Characters of the longest name that is an identifier in DOT; Graphviz refuses strings of 16 KiB."""

TIMES = "\N{MULTIPLICATION SIGN}"
"""Before the number of inputs that an edge stands for."""

_DOT_STYLES = {
    "node": "",
    "scope": ', style="rounded,filled", fillcolor="#e8eef7"',
    "argument": ', shape=ellipse, style=filled, fillcolor="#f2f2f2"',
    "layer": ', style="rounded,filled", fillcolor="#fdf3e1"',
}
_DOT_ARROWS = {"data": "", "control": "style=dotted", "call": "style=dashed"}

_MERMAID_ARROWS = {"data": "-->", "control": "-.->", "call": "-.->"}
_MERMAID_SHAPES = {"node": "[]", "scope": "()", "argument": ("([", "])"), "layer": "()"}


def dot_lines(picture: Picture) -> Iterator[str]:
    """Iterate over the lines of a DOT file: data flows along solid edges, control along dotted ones.

    Dashed edges lead from nodes to the functions that they call. The nodes of the graph itself keep their
    names as identifiers.
    """
    yield "digraph {"
    direction = "BT" if picture.upward else "TB"
    compound = " compound=true;" if picture.clusters else ""
    yield f"  rankdir={direction};{compound}"
    yield "  node [shape=box, fontname=Helvetica]; edge [fontname=Helvetica, fontsize=11];"
    yield from _dot_clusters(picture)
    first = {box.cluster: number for number, box in reversed(list(enumerate(picture.boxes)))}
    for arrow in picture.arrows:
        source = _dot_id(picture, arrow.source)
        attributes = [_DOT_ARROWS[arrow.kind], f"label={_quoted(_label(arrow))}" if _label(arrow) else ""]
        if arrow.kind == "call":
            target = _dot_id(picture, first[arrow.target])
            attributes.append(f"lhead=cluster_{arrow.target}")
        else:
            target = _dot_id(picture, arrow.target)
        text = ", ".join(filter(None, attributes))
        yield f"  {source} -> {target}{f' [{text}]' if text else ''};"
    yield "}"


def _dot_clusters(picture: Picture) -> Iterator[str]:
    """Iterate over the boxes, those of a cluster within its braces."""
    for depth, cluster, boxes in _nested(picture):
        indent = "  " * depth
        if boxes is None:
            yield f"{indent[2:]}}}"
            continue
        if cluster is not None:
            title = _quoted(picture.clusters[cluster].title)
            yield f"{indent[2:]}subgraph cluster_{cluster} {{"
            yield f'{indent}label={title}; fontname=Helvetica; style=rounded; color="#8090a0";'
        for number in boxes:
            box = picture.boxes[number]
            style = _DOT_STYLES[box.kind]
            yield f"{indent}{_dot_id(picture, number)} [label={_quoted(*box.lines)}{style}];"


def _nested(picture: Picture) -> Iterator[tuple[int, int | None, list[int] | None]]:
    """Iterate over all clusters, those in a cluster between its start and its end.

    Each start is its depth, its number and its boxes, and each end has None in place of boxes. What is
    outside all clusters comes first, with None in place of a number, and has no end.
    """
    boxes: dict[int | None, list[int]] = {}
    for number, box in enumerate(picture.boxes):
        boxes.setdefault(box.cluster, []).append(number)
    inner: dict[int | None, list[int]] = {}
    for number, cluster in enumerate(picture.clusters):
        inner.setdefault(cluster.parent, []).append(number)
    waiting: list[tuple[int, int | None, bool]] = [(1, None, True)]
    while waiting:
        depth, current, is_start = waiting.pop()
        yield depth, current, boxes.get(current, []) if is_start else None
        if is_start:
            if current is not None:
                waiting.append((depth, current, False))
            waiting += [(depth + 1, each, True) for each in reversed(inner.get(current, []))]


def _dot_id(picture: Picture, number: int) -> str:
    name = picture.boxes[number].name
    if name is None or len(name) > MAX_ID:
        return f'"\\\\{number}"'  # no name has a single backslash: escape() doubles them
    return f'"{_dot_text(name)}"'


def _label(arrow: Arrow) -> str:
    return f"{TIMES}{arrow.times:,}" if arrow.times > 1 else arrow.label


def _quoted(*lines: str) -> str:
    """Return lines as one quoted string of DOT."""
    return '"' + "\\n".join(_dot_text(_shortened(line)) for line in lines) + '"'


def _dot_text(text: str) -> str:
    """Return a text as it stands between quotes in DOT, which knows backslashes and entities."""
    return escape(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


def _shortened(line: str) -> str:
    if len(line) <= MAX_LABEL:
        return line
    return f"{line[: MAX_LABEL // 2]}…{line[-MAX_LABEL // 2 :]}"


def mermaid_lines(picture: Picture) -> Iterator[str]:
    """Iterate over the lines of a Mermaid flow chart.

    Boxes are numbered, since names may have any characters.
    """
    yield f"flowchart {'BT' if picture.upward else 'TB'}"
    for depth, cluster, boxes in _nested(picture):
        indent = "  " * depth
        if boxes is None:
            yield f"{indent[2:]}end"
            continue
        if cluster is not None:
            title = _entities(picture.clusters[cluster].title)
            yield f'{indent[2:]}subgraph f{cluster}["{title}"]'
        for number in boxes:
            box = picture.boxes[number]
            opening, closing = _MERMAID_SHAPES[box.kind]
            yield f'{indent}n{number}{opening}"{"<br/>".join(map(_entities, box.lines))}"{closing}'
    for arrow in picture.arrows:
        label = _label(arrow)
        text = f'|"{_entities(label)}"|' if label and not label.isdecimal() else f"|{label}|" if label else ""
        target = f"f{arrow.target}" if arrow.kind == "call" else f"n{arrow.target}"
        yield f"  n{arrow.source} {_MERMAID_ARROWS[arrow.kind]}{text} {target}"


def _entities(text: str) -> str:
    """Return a text in which no character has a meaning to Mermaid."""
    shown = escape(_shortened(text))
    return "".join(c if c.isalnum() or c in " _-./:,?[]" else f"#{ord(c)};" for c in shown)
