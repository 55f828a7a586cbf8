"""Pages: a card as HTML, with a style of its own and without scripts or anything from elsewhere.

Everything that comes from a file is escaped, first as in a terminal (control characters, bidirectional and
other invisible ones, unpaired surrogates), then for HTML. A page is bounded: rows in a table, characters in a
cell, cards in cards, and characters in all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from itertools import islice
from typing import Any

from ckptfmt.notebook.card import Branch, Card, Cell, Markup, Part, Sentence, Table, Text, Tree
from ckptfmt.notebook.style import STYLE
from ckptfmt.text.printing import escape, one_line

ROWS = 50
"""Rows of a table."""

MAX_PARTS = 30
"""Parts of a card."""

MAX_DEPTH = 4
"""Cards in cards."""

MAX_CELL = 200
"""Characters of a cell, a fact or a name; the middle of longer ones is left out."""

MAX_TEXT = 20_000
"""Characters of a part that is text."""

MAX_ERROR = 2000
"""Characters of a sentence, such as that of an error."""

MAX_PAGE = 400_000
"""Characters of HTML after which nothing is begun; what has been begun ends a few thousand later."""


_LONG = 40
"""Characters up to which a cell stays on one line."""

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


def to_html(describe: Callable[[], Card]) -> str:
    """Return the HTML of a card, given the function that makes it; an error in that shows as its sentence."""
    page = _Page()
    page.add(f'<div class="ckptfmt"><style>{STYLE}</style>')
    try:
        card = describe()
    except Exception as error:  # a cell that ends with the object must not fail, whatever is wrong with it
        page.add(_error(error))
    else:
        page.add(f'<div class="ck-head">{_title(card)}</div>')
        page.body(card, 0)
    page.add("</div>")
    return "".join(page.pieces)


def inert(text: str, most: int = MAX_CELL) -> str:
    """Return text as HTML that shows it and does nothing else, without the middle of a long one."""
    if len(text) > most:
        text = f"{text[: most // 2]}…{text[-most // 2 :]}"
    return escape(text).translate(_ENTITIES)


def with_dim_ending(text: str, ending: str) -> Markup:
    """Return text as HTML, with a usual ending that tells little dimmed."""
    if not text.endswith(ending) or len(text) > MAX_CELL:
        return Markup(inert(text))
    beginning = inert(text.removesuffix(ending))
    return Markup(f'{beginning}<span class="ck-dim">{inert(ending)}</span>')


class _Page:
    """The HTML made so far."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._length = 0

    def add(self, html: str) -> None:
        self.pieces.append(html)
        self._length += len(html)

    @property
    def is_full(self) -> bool:
        return self._length > MAX_PAGE

    def body(self, card: Card, depth: int) -> None:
        """Add the facts and parts of a card."""
        facts = [(label, _cell(_guarded(fact))) for label, fact in card.facts]
        shown = "".join(
            f'<span class="ck-fact"><span class="ck-dim">{inert(label)}</span> {value}</span>'
            for label, value in facts
            if value
        )
        if shown:
            self.add(f'<div class="ck-facts">{shown}</div>')
        for number, part in enumerate(card.parts):
            if self.is_full or number >= MAX_PARTS:
                self._add_more(len(card.parts) - number)
                return
            self._part(part, depth)

    def _part(self, part: Part, depth: int) -> None:
        if isinstance(part, Table):
            self._table(part)
        elif isinstance(part, Card):
            if depth < MAX_DEPTH:
                self._fold(_title(part), is_open=part.is_open)
                self.body(part, depth + 1)
                self.add("</details>")
        elif isinstance(part, Tree):
            self._tree(part)
        elif isinstance(part, Text):
            try:
                text = part.text()
            except Exception as error:
                self.add(_error(error))
            else:
                self._fold(inert(part.title))
                lines = "\n".join(map(_line, text[:MAX_TEXT].split("\n")))
                self.add(f'<pre class="ck-text">{lines}</pre>')
                if len(text) > MAX_TEXT:
                    self.add(f'<div class="ck-dim">… and {len(text) - MAX_TEXT:,} more characters</div>')
                self.add("</details>")
        else:
            try:
                self.add(part.markup())
            except Exception as error:
                self.add(_error(error))

    def _fold(self, summary: str, *, is_open: bool = False) -> None:
        self.add(f"<details{' open' if is_open else ''}><summary>{summary}</summary>")

    def _add_more(self, count: int | None) -> None:
        self.add(f'<div class="ck-dim">… and {"more" if count is None else f"{count:,} more"}</div>')

    # --- tables ------------------------------------------------------------------------------------------

    def _table(self, table: Table) -> None:
        try:
            items = table.items()
            total = len(items) if isinstance(items, Sized) else None
        except Exception as error:
            self.add(f"<div>{inert(table.title)}: {_error(error)}</div>")
            return
        if total == 0:
            return
        count = "" if total is None else f' <span class="ck-dim">{total:,}</span>'
        self._fold(f"{inert(table.title)}{count}", is_open=table.is_open)
        heads = "".join(f"<th>{inert(column)}</th>" for column in table.columns)
        self.add(f'<div class="ck-scroll"><table class="ck-table"><thead><tr>{heads}</tr></thead><tbody>')
        shown, has_more, failure = self._rows(table, items)
        self.add("</tbody></table></div>")
        if failure is not None:
            self.add(_error(failure))
        elif has_more:
            self._add_more(None if total is None else total - shown)
        self.add("</details>")

    def _rows(self, table: Table, items: Iterable[Any]) -> tuple[int, bool, Exception | None]:
        """Add rows; return how many, whether more items follow, and the error that ended them."""
        shown = 0
        try:
            # One more than are shown: it tells whether there are others.
            for shown, item in enumerate(islice(items, ROWS + 1)):
                if shown == ROWS or self.is_full:
                    return shown, True, None
                self.add(f"<tr>{_row(table, item)}</tr>")
        except Exception as error:
            return shown, False, error
        return shown + 1, False, None

    # --- trees -------------------------------------------------------------------------------------------

    def _tree(self, tree: Tree) -> None:
        try:
            root = tree.root()
        except Exception as error:
            self.add(f"<div>{inert(tree.title)}: {_error(error)}</div>")
            return
        if root.children:
            self._fold(inert(tree.title), is_open=True)
            self._branches(root)
            self.add("</details>")

    def _branches(self, parent: Branch) -> None:
        # A loop with a stack, since the branches may be deeper than Python nests calls.
        waiting: list[Branch | str] = [*_below(parent)[::-1]]
        while waiting:
            branch = waiting.pop()
            if isinstance(branch, str):
                self.add(branch)
            elif self.is_full:
                continue
            else:
                note = f' <span class="ck-dim">{inert(branch.note)}</span>' if branch.note else ""
                label = f'<span class="ck-mono">{inert(branch.name)}</span>{note}'
                if branch.children:
                    self._fold(label, is_open=False)
                    waiting += ["</details>", *_below(branch)[::-1]]
                else:
                    self.add(f'<div class="ck-leaf">{label}</div>')


def _below(parent: Branch) -> list[Branch | str]:
    """Return the children of a branch, and a line for those that are left out."""
    more = f'<div class="ck-leaf ck-dim">… and {parent.more:,} more</div>'
    return [*parent.children, *([more] if parent.more else [])]


def _title(card: Card) -> str:
    name = f'<span class="ck-mono">{inert(card.name)}</span>' if card.name else ""
    state = f" ck-{card.state}" if card.state else ""
    return f'<span class="ck-kind{state}">{inert(card.kind)}</span>{name}'


def _row(table: Table, item: Any) -> str:  # noqa: ANN401  (whatever a table lists)
    try:
        cells = table.cells(item)
    except Exception as error:
        name = f"<td>{inert(item)}</td>" if isinstance(item, str) else ""
        span = len(table.columns) - bool(name)
        return f'{name}<td class="ck-long" colspan="{max(span, 1)}">{_error(error)}</td>'
    return "".join(f"<td{_kind_of(cell)}>{_cell(cell)}</td>" for cell in cells)


def _kind_of(cell: Cell) -> str:
    if isinstance(cell, int):
        return ' class="ck-number"'
    return ' class="ck-long"' if cell is not None and len(cell) > _LONG else ""


def _guarded(fact: Cell | Callable[[], Cell]) -> Cell:
    try:
        return fact() if callable(fact) else fact
    except Exception as error:
        return Markup(_error(error))


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, Markup):
        return value
    if isinstance(value, Sentence):
        return one_line(value[:MAX_ERROR]).translate(_ENTITIES)
    return f"{value:,}" if isinstance(value, int) else inert(value)


def _line(text: str) -> str:
    # Backslashes stay as they are, since texts have escapes of their own.
    return one_line(text.replace("\t", "    ")).translate(_ENTITIES)


def _error(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return f'<span class="ck-error">{one_line(text[:MAX_ERROR]).translate(_ENTITIES)}</span>'
