"""Outlines of texts: the names at the first two levels of JSON or of protobuf's text format.

Both formats nest with brackets and quote strings in the same way, so one scan serves both::

    {"format": "graph-model", "modelTopology": {"node": []}}    format, modelTopology; modelTopology.node
    name: "LeNet"  layer { name: "data" type: "Input" }         name, layer; layer.name, layer.type

An outline has only names, and does not say whether the text is well-formed; it may be cut anywhere.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(
    rb"(?P<comment>#[^\n]*)"
    rb"|\"(?P<quoted>(?:[^\"\\\n]|\\.)*)\"?"
    rb"|'(?:[^'\\\n]|\\.)*'?"
    rb"|(?P<word>[A-Za-z_][\w.]*)"
    rb"|(?P<number>[-+.\d][\w.+-]*)"
    rb"|(?P<open>[{<\[])"
    rb"|(?P<close>[}>\]])"
    rb"|(?P<colon>:)",
    re.DOTALL,
)


class TextOutline(NamedTuple):
    """The names of fields, and the strings of those at the first level."""

    is_json: bool
    """Whether the text begins as JSON does: with a bracket."""
    names: dict[str, str]
    """Names of the first level, in order; with the string of the first such field, or an empty one."""
    inner: frozenset[tuple[str, str]]
    """Names of the first level, each with the name of a field in it."""


def outline_of(text: bytes) -> TextOutline:
    """Return the outline of the beginning of a text that begins with a name or a bracket."""
    is_json = text[:1] in (b"{", b"[")
    names: dict[str, str] = {}
    inner: set[tuple[str, str]] = set()
    # Depth 0 is that of the first names: within the brace of JSON, or of the elements of a list.
    depth = -1 if text[:1] == b"{" else -2 if is_json else 0
    above = ""  # the last name of the first level
    word = ""  # the last name, which is one of a field if a colon or a bracket follows
    is_value = False
    for token in _TOKEN.finditer(text):
        kind, content = token.lastgroup, token[0]
        if kind == "comment":
            continue
        if kind == "colon":
            if word:
                above = _note(names, inner, depth, above, word)
            word, is_value = "", True
        elif kind == "open":
            if word:
                above = _note(names, inner, depth, above, word)
            # A list is not a level of its own, unless it is the whole text.
            depth, word, is_value = depth + (content != b"[" or token.start() == 0), "", False
        elif kind == "close":
            depth, word, is_value = depth - (content != b"]"), "", False
        elif is_value:
            # A value: a string of the first level is kept.
            quoted = token["quoted"]
            if quoted is not None and depth == 0 and not names.get(above, "-"):
                names[above] = quoted.decode("utf-8", "replace")
            word, is_value = "", False
        elif is_json:
            word = (token["quoted"] or b"").decode("utf-8", "replace")
        else:
            word = (token["word"] or b"").decode()
    return TextOutline(is_json, names, frozenset(inner))


def _note(names: dict[str, str], inner: set[tuple[str, str]], depth: int, above: str, word: str) -> str:
    """Note a name at a depth; return the last name of the first level."""
    if depth == 0:
        names.setdefault(word, "")
        return word
    if depth == 1:
        inner.add((above, word))
    return above
