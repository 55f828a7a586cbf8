"""About: what a plan is for, as its file says in the table ``[about]``.

The table is for people and for listings; it changes nothing that the plan does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html


@dataclass(frozen=True)
class About:
    """What a plan is for: from what, to what, and what its user should know."""

    title: str = ""
    """One line."""
    description: str = ""
    """What the plan does, in a few sentences."""
    source: str = ""
    """The tensors that it takes: their framework, and their names."""
    target: str = ""
    """The tensors that it makes."""
    notes: tuple[str, ...] = ()
    """What no tensor says, such as a constant of a layer that differs between the frameworks."""
    back: str = ""
    """The shipped plan that goes the other way; empty if no plan does."""

    def fields(self) -> dict[str, object]:
        """Return the keys and values in a file, without those that are empty."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values if value}

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "About", self.title))
