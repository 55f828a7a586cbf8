"""Cards as HTML: well formed, inert and bounded, whatever is in them."""

from __future__ import annotations

import math

import pytest

from ckptfmt.notebook.card import Branch, Card, Figure, Sentence, Table, Text, Tree
from ckptfmt.notebook.figures import MAX_POINTS, bars, curve
from ckptfmt.notebook.page import MAX_CELL, MAX_PAGE, MAX_TEXT, ROWS, to_html
from tests.support.html_pages import Page

HOSTILE = [
    "<script>alert(1)</script>",
    "</td></table></details></div><img src=x onerror=alert(1)>",
    "\"><svg onload='alert(1)'>",
    "</style><script>alert(1)</script>",
    "&lt;script&gt;",
    "javascript:alert(1)",
    "a\x00b\x1b[31mred\x07",
    "abc\u202egpj.exe",
    "zero\u200bwidth",
    "line\nbreak\tand tab\r",
    "\udcff\udc80 not UTF-8",
    "back\\slash",
    "x" * 10_000,
    "\U0010ffff" * 1000,
]


def list_card(name: str) -> Card:
    """Return a card with a text in every place that a card has."""
    return Card(
        name,
        name,
        [(name, name), ("error", lambda: 1 // 0)],
        [
            Table(name, (name,), lambda: [name], lambda item: (item,)),
            Tree(name, lambda: Branch("", children=[Branch(name, name, [Branch(name)], more=3)])),
            Card(name, name),
        ],
    )


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_texts_are_inert_everywhere(text: str) -> None:
    page = Page(to_html(lambda: list_card(text)))
    assert not {"script", "img"} & set(page.tags)
    assert page.tags.count("details") == 4


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_texts_of_several_lines_are_inert(text: str) -> None:
    html = to_html(lambda: Card("Plan", parts=[Text(text, lambda: text)]))
    page = Page(html.replace("\n", ""))
    assert page.tags.count("pre") == 1


def test_names_are_shown_as_in_a_terminal() -> None:
    page = Page(to_html(lambda: Card("Checkpoint", "a\x1b\u202e\udcff\\<b>")))
    assert r"a\x1b\u202e\xff\\<b>" in page.text


def test_names_quoted_in_sentences_are_not_escaped_twice() -> None:
    sentence = Sentence("tensor 'a\\x1b<b>': got 2 bytes\x07")
    table = Table("Problems", ("message",), lambda: [sentence], lambda item: (item,))
    page = Page(to_html(lambda: Card("Report", facts=[("", sentence)], parts=[table])))
    assert page.text.count(r"tensor 'a\x1b<b>': got 2 bytes\x07") == 2


def test_the_middle_of_a_long_name_is_left_out() -> None:
    page = Page(to_html(lambda: Card("Checkpoint", "begin" + "x" * 5000 + "end")))
    assert "begin" in page.text
    assert "xend" in page.text
    assert len(page.text) < MAX_CELL + 20


def test_a_table_shows_its_first_rows_and_counts_the_others() -> None:
    taken = []

    class Many:
        def __len__(self) -> int:
            return 1_000_000

        def __iter__(self):
            for number in range(1_000_000):
                taken.append(number)
                yield number

    table = Table("Tensors", ("name",), Many, lambda number: (f"tensor {number}",))
    page = Page(to_html(lambda: Card("Checkpoint", parts=[table])))
    assert len(page.rows) == 1 + ROWS
    assert len(taken) == ROWS + 1
    assert "1,000,000" in page.text
    assert f"and {1_000_000 - ROWS:,} more" in page.text


def test_a_table_of_unknown_length_says_that_there_is_more() -> None:
    table = Table("Tensors", ("name",), lambda: iter(range(ROWS + 1)), lambda number: (number,))
    assert "… and more" in Page(to_html(lambda: Card("", parts=[table]))).text
    table = Table("Tensors", ("name",), lambda: iter(range(ROWS)), lambda number: (number,))
    assert "… and more" not in Page(to_html(lambda: Card("", parts=[table]))).text


def test_an_empty_table_is_left_out() -> None:
    page = Page(to_html(lambda: Card("", parts=[Table("Damage", ("where",), list, lambda item: item)])))
    assert "Damage" not in page.text


def test_numbers_have_separators_of_thousands() -> None:
    table = Table("", ("",), lambda: [1234567], lambda number: (number, None))
    assert Page(to_html(lambda: Card("", parts=[table]))).rows[1] == ["1,234,567", ""]


@pytest.mark.parametrize("error", [ValueError("no <b>luck</b>\x1b"), MemoryError(), RecursionError()])
def test_errors_stand_where_what_they_hide_would(error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    sentence = r"no <b>luck</b>\x1b" if str(error) else type(error).__name__
    parts = [
        Table("items", ("name",), fail, lambda item: (item,)),
        Table("cells", ("name", "shape"), lambda: ["w", "v"], fail),
        Tree("tree", fail),
        Text("text", fail),
        Figure(fail),
    ]
    page = Page(to_html(lambda: Card("Graph", "g.pb", [("fact", fail)], parts)))
    assert page.text.count(sentence) == 1 + 1 + 2 + 1 + 1 + 1
    assert [row[0] for row in page.rows[1:]] == ["w", "v"]
    assert sentence in Page(to_html(fail)).text


def test_an_error_in_the_middle_keeps_the_rows_before_it() -> None:
    def items():
        yield "w"
        raise ValueError("block at 0x40 is damaged")

    page = Page(to_html(lambda: Card("", parts=[Table("Tensors", ("name",), items, lambda item: (item,))])))
    assert page.rows[1:] == [["w"]]
    assert "block at 0x40 is damaged" in page.text


def test_a_page_of_any_card_is_bounded() -> None:
    name = "\U0010ffff" * 1000

    def nested(depth: int) -> Card:
        table = Table(name, (name,) * 8, lambda: [name] * 1_000_000, lambda item: (item,) * 8)
        below = [nested(depth - 1)] * 40 if depth else []
        return Card(name, name, [(name, name)] * 5, [table, *below])

    html = to_html(lambda: nested(6))
    assert len(html) < 2 * MAX_PAGE
    Page(html)
    text = to_html(lambda: Card("", parts=[Text("", lambda: "x" * 10_000_000)]))
    assert len(text) < MAX_TEXT + 10_000


def test_a_deep_tree_does_not_nest_calls() -> None:
    branch = Branch("leaf")
    for _ in range(100_000):
        branch = Branch("n", children=[branch])
    html = to_html(lambda: Card("", parts=[Tree("Objects", lambda: branch)]))
    assert len(html) < 2 * MAX_PAGE
    Page(html)


def test_without_style_the_page_still_reads_in_order() -> None:
    table = Table("Tensors", ("name",), lambda: ["w"], lambda item: (item,))
    page = Page(to_html(lambda: Card("Checkpoint", "model.ckpt", [("format", "v2")], [table])))
    assert page.text.split() == ["Checkpoint", "model.ckpt", "format", "v2", "Tensors", "1", "name", "w"]


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1.0],
        [math.nan],
        [math.inf, -math.inf],
        [1.0, math.nan, 2.0],
        [-1.7e308, 1.7e308],
        [0.0] * 5,
        [float(n % 7) for n in range(100_000)],
    ],
    ids=len,
)
def test_curves_are_well_formed_and_inside_their_frame(values: list[float]) -> None:
    markup = curve(values, 120, 20)
    assert len(markup) < 30 * MAX_POINTS
    assert "nan" not in markup
    assert "inf" not in markup
    Page(markup)
    if any(map(math.isfinite, values)):
        path = markup.partition(' d="')[2].partition('h.01"')[0].replace("M", " ").replace("L", " ").split()
        assert all(0 <= float(x) <= 120 for x in path[::2])
        assert all(0 <= float(y) <= 20 for y in path[1::2])


def test_a_peak_in_a_long_curve_stays() -> None:
    values = [0.0] * 100_000
    values[54_321] = 1.0
    assert "65.0 2.0" in curve(values, 120, 20) or "L65.0 2.0" in curve(values, 120, 20)
    lowest = curve([0.0] * 100_000, 120, 20)
    assert "10.0" in lowest


def test_bars_leave_out_what_is_not_finite() -> None:
    edges = [(-math.inf, 0.0), (0.0, 1.0), (1.0, 2.0), (2.0, math.inf)]
    markup = bars(edges, [5.0, 1.0, 3.0, 1.0], 100, 20)
    Page(markup)
    assert markup.count("<rect") == 2
    assert bars([], [], 100, 20) == ""
    assert bars([(1.0, 1.0)], [3.0], 100, 20).count("<rect") == 1
