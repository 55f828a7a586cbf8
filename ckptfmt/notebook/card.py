"""Cards: what a class says about an object for a notebook, in words and numbers, without any HTML.

A card is made when a cell ends with the object, and must be cheap, however large the object is. So whatever
takes work is a function. The page calls it when its turn comes, takes only as many items as it shows, and
shows the sentence of an error that it raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias


class Markup(str):
    """HTML that this room has made itself; any other text is escaped."""

    __slots__ = ()


class Sentence(str):
    """Words of ours, in which names are quoted, and so escaped, already."""

    __slots__ = ()


Cell: TypeAlias = "str | int | Markup | Sentence | None"
"""A value: numbers get separators of thousands, None is left blank."""

Fact: TypeAlias = "Cell | Callable[[], Cell]"
"""What a card says about the whole object; one that is None is left out."""


State: TypeAlias = Literal["", "good", "bad"]


class Table(NamedTuple):
    """A part of a card that lists items."""

    title: str
    columns: Sequence[str]
    """The heading of each column; the first column names the item."""
    items: Callable[[], Iterable[Any]]
    """The items. Only the first few are taken; if they have a length, the others are counted."""
    cells: Callable[[Any], Sequence[Cell]]
    """The cells of an item."""
    is_open: bool = False
    """Whether it is unfolded at first."""


class Branch(NamedTuple):
    """A node of a tree, and what is below it."""

    name: str
    note: str = ""
    children: Sequence[Branch] = ()
    more: int = 0
    """Number of children that are left out."""


class Tree(NamedTuple):
    """A part of a card that shows things below one another."""

    title: str
    root: Callable[[], Branch]
    """The root, whose children are shown; the caller bounds how many there are."""


class Text(NamedTuple):
    """A part of a card that is text of several lines."""

    title: str
    text: Callable[[], str]


class Figure(NamedTuple):
    """A part of a card that is a picture."""

    markup: Callable[[], Markup]


Part: TypeAlias = "Table | Tree | Text | Figure | Card"


class Card(NamedTuple):
    """What a notebook shows of an object."""

    kind: str
    """Its class, as people call it."""
    name: str = ""
    """Its name or path."""
    facts: Sequence[tuple[str, Fact]] = ()
    parts: Sequence[Part] = ()
    """Its parts; each can be folded."""
    state: State = ""
    """Whether it is something that went well or did not, which colours its kind."""
    is_open: bool = False
    """Whether it is unfolded at first, if it is a part of another card."""
