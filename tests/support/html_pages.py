"""What the HTML of a notebook holds, as a parser of HTML sees it."""

from __future__ import annotations

from html.parser import HTMLParser

TAGS = frozenset(
    (
        *("div", "span", "details", "summary", "pre", "style", "img", "audio"),
        *("table", "thead", "tbody", "tr", "th", "td"),
        *("svg", "path", "g", "rect"),
    )
)
"""Elements that a page may have."""

VOID = frozenset(("img",))
"""Elements without an end tag. Those of SVG close themselves."""

ATTRIBUTES = frozenset(
    (
        *("class", "open", "colspan", "alt", "src", "controls"),
        *("width", "height", "viewbox", "d", "x", "y", "fill", "stroke"),
        *("stroke-width", "stroke-linejoin", "stroke-linecap"),
    )
)


class Page(HTMLParser):
    """A page that has been read; AssertionError if it is not well formed, or could do anything."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        """All elements, in the order in which they begin."""
        self.rows: list[list[str]] = []
        """The texts of the cells of all tables."""
        self.sources: list[str] = []
        self._texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], f"not closed: {self._open}"
        assert html.isprintable(), "a page is one line unless it has a text of several"

    @property
    def text(self) -> str:
        """Everything that can be read."""
        return " ".join(self._texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, (tag, name)
            if name == "src":
                assert value is not None
                assert value.startswith(("data:image/", "data:audio/"))
                self.sources.append(value)
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open, tag
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            assert "url(" not in data
            assert "@import" not in data
            return
        self._texts.append(data)
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data
