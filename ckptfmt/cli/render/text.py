"""Text for people: what the room ``text`` prints safely, and aligned lines."""

from __future__ import annotations

from collections.abc import Iterable

from ckptfmt.text.printing import count_text as count_text
from ckptfmt.text.printing import escape as escape
from ckptfmt.text.printing import one_line as one_line
from ckptfmt.text.printing import shape_text as shape_text
from ckptfmt.text.printing import size_text as size_text


def aligned(rows: Iterable[tuple[str, str]]) -> str:
    """Return labels and texts as lines, with the texts in one column."""
    rows = list(rows)
    width = max(len(label) for label, _ in rows)
    return "".join(f"{label:<{width}}  {text}".rstrip() + "\n" for label, text in rows)
