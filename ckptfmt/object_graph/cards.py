"""Cards: objects as notebooks show them, as a tree from one of them by the shortest paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ckptfmt.notebook.card import Branch, Tree

MAX_SHOWN = 400
"""Objects of a tree, those nearest to where it begins."""


def objects_tree(
    start: int, edges: Callable[[int], Iterable[tuple[str, int]]], note: Callable[[int], str]
) -> Tree:
    """Return the objects below one as a tree.

    ``edges`` returns the names that an object has for its children, and their numbers; ``note`` returns what
    is said beside the name of an object. An object is shown where it is met first, breadth first.
    """

    def root() -> Branch:
        names = {start: ""}
        below: dict[int, list[int]] = {}
        left_out: dict[int, int] = {}
        queue = [start]
        for number in queue:
            below[number] = []
            for name, child in edges(number):
                if child in names:
                    continue
                if len(names) > MAX_SHOWN:
                    left_out[number] = left_out.get(number, 0) + 1
                    continue
                names[child] = name
                below[number].append(child)
                queue.append(child)
        branches: dict[int, Branch] = {}
        # From the end of the search, so that the children of each object are made before it.
        for number in reversed(queue):
            children = [branches.pop(child) for child in below[number]]
            branches[number] = Branch(names[number], note(number), children, left_out.get(number, 0))
        return branches[start]

    return Tree("Objects", root)
