"""Diagrams: a graph as text that Graphviz or Mermaid draws."""

from __future__ import annotations

from collections.abc import Iterator

from ckptfmt import Graph
from ckptfmt.cli.render.text import escape


def dot_lines(graph: Graph) -> Iterator[str]:
    """Iterate over the lines of a DOT file: data flows along solid edges, control along dotted ones."""
    yield "digraph {"
    yield "  rankdir=BT; node [shape=box, fontname=Helvetica];"
    for name, node in graph.items():
        yield f"  {_quoted(name)} [label={_quoted(name, node.op)}];"
        for output in node.inputs:
            label = f" [label={output.number}]" if output.number else ""
            yield f"  {_quoted(output.node)} -> {_quoted(name)}{label};"
        for control in node.control_inputs:
            yield f"  {_quoted(control)} -> {_quoted(name)} [style=dotted];"
    yield "}"


def _quoted(*lines: str) -> str:
    """Return lines as one quoted string of DOT, in which backslashes escape."""
    escaped = (escape(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'


def mermaid_lines(graph: Graph) -> Iterator[str]:
    """Iterate over the lines of a Mermaid flow chart.

    Nodes are numbered, since their names may have any characters. Edges from nodes that are not in the graph
    are left out.
    """
    numbers = {name: number for number, name in enumerate(graph)}
    yield "flowchart BT"
    for name, node in graph.items():
        yield f'  n{numbers[name]}["{_entities(name)}<br/>{_entities(node.op)}"]'
    for name, node in graph.items():
        for output in node.inputs:
            if output.node in numbers:
                label = f"|{output.number}|" if output.number else ""
                yield f"  n{numbers[output.node]} -->{label} n{numbers[name]}"
        for control in node.control_inputs:
            if control in numbers:
                yield f"  n{numbers[control]} -.-> n{numbers[name]}"


def _entities(text: str) -> str:
    """Return a text in which no character has a meaning to Mermaid."""
    return "".join(c if c.isalnum() or c in " _-./:" else f"#{ord(c)};" for c in escape(text))
