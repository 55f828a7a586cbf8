"""The class of all verbs: ``--help`` fits a screen, and ``ckptfmt help VERB`` explains everything.

A verb declares its texts once: the docstring of its function, its examples, and the keys of its JSON
document. ``--help`` shows the start of the first two; ``ckptfmt help`` and docs/command-line.md show it all.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Sequence
from typing import Any

import click

from ckptfmt.cli.render.output import write

SHOWN_PARAGRAPHS = 2
"""Paragraphs of the docstring that are in ``--help``."""

SHOWN_EXAMPLES = 3


class Verb(click.Command):
    """A verb: a click command with examples, and with ``--help-json`` if it has ``--json``."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401  (click's arguments)
        examples: Sequence[str],
        json_keys: str = "",
        **attributes: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **attributes)
        self.examples = examples
        self.json_keys = inspect.cleandoc(json_keys)
        names = [param.name for param in self.params]
        if "as_json" in names:
            explaining = click.Option(
                ["--help-json"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=self._show_json_keys,
                help="Explain the keys of the JSON document and exit.",
            )
            self.params.insert(names.index("as_json") + 1, explaining)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first paragraphs of the docstring."""
        write_description(formatter, "\n\n".join(self._description.split("\n\n")[:SHOWN_PARAGRAPHS]))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first examples, and how to see the rest."""
        write_section(formatter, "Examples", self.examples[:SHOWN_EXAMPLES])
        if self.json_keys:
            formatter.write(f"\nMore: ckptfmt help {ctx.info_name}\n")

    def full_help(self, context: click.Context) -> str:
        """Return all there is to say about the verb."""
        formatter = context.make_formatter()
        self.format_usage(context, formatter)
        write_description(formatter, self._description)
        self.format_options(context, formatter)
        write_section(formatter, "Examples", self.examples)
        if self.json_keys:
            with formatter.section("JSON"):
                write_paragraphs(formatter, self.json_keys)
        return formatter.getvalue()

    @property
    def _description(self) -> str:
        return inspect.cleandoc(self.help or "")

    def _show_json_keys(self, context: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            formatter = context.make_formatter()
            write_paragraphs(formatter, self.json_keys)
            write(formatter.getvalue())
            context.exit()


def write_paragraphs(formatter: click.HelpFormatter, text: str) -> None:
    """Write paragraphs, wrapped and indented. Unlike click, leave ``--help-json`` on one line."""
    indent = " " * formatter.current_indent
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        lines = textwrap.wrap(
            paragraph,
            formatter.width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        formatter.write("\n" * (number > 0) + "\n".join(lines) + "\n")


def write_description(formatter: click.HelpFormatter, text: str) -> None:
    """Write paragraphs after the usage."""
    formatter.write_paragraph()
    with formatter.indentation():
        write_paragraphs(formatter, text)


def write_section(formatter: click.HelpFormatter, title: str, lines: Sequence[str]) -> None:
    """Write lines under a title as they are: commands that are wrapped could not be copied."""
    with formatter.section(title):
        for line in lines:
            formatter.write(f"{'':{formatter.current_indent}}{line}\n")
