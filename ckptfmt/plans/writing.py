"""Plans written as TOML; :mod:`ckptfmt.plans.plan_text` shows the form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ckptfmt.errors import PlanError
from ckptfmt.plans.plan_text import VERSION, PlanText
from ckptfmt.plans.step import Step
from ckptfmt.plans.steps import RenameTable
from ckptfmt.text.quoting import listed


def format_plan(plan: PlanText, file: str | None = None) -> str:
    """Return the text of a plan; PlanError, about ``file``, if a name is not UTF-8."""
    lines = [f"version = {VERSION}"]
    if plan.rest != "keep":
        lines.append(f'rest = "{plan.rest}"')
    if plan.is_general:
        lines.append("general = true")
    if plan.include:
        lines.append(f'include = "{plan.include}"')
    if plan.about is not None:
        about = plan.about.fields()
        lines += ["", "[about]", *(f"{key} = {_value(value)}" for key, value in about.items())]
    for step in plan.steps:
        lines += ["", *_comment_lines(step.comment), "[[step]]"]
        if isinstance(step, RenameTable):
            lines.append("[step.rename]")
            for old, new in step.names.items():
                comment = " ".join(_comment_lines(step.comments.get(old, "").replace("\n", " ")))
                lines.append(f"{_basic(old)} = {_basic(new)}{'  ' if comment else ''}{comment}")
        else:
            lines += [f"{key} = {_value(value)}" for key, value in step.fields().items()]
    if plan.comment:
        lines += ["", *_comment_lines(plan.comment)]
    text = "\n".join(lines) + "\n"
    try:
        # Once for the whole text, which is quicker than name by name; the names are searched only for the
        # error.
        text.encode()
    except UnicodeEncodeError:
        # A lone surrogate stands for a byte of a name that is not UTF-8.
        odd = [part for part in _texts(plan.steps) if part and not is_writable(part)]
        raise PlanError(f"names that are not UTF-8 cannot be written: {listed(odd)}", file=file) from None
    return text


def is_writable(name: str) -> bool:
    """Return whether a plan can name a tensor like this: TOML is UTF-8, and no new name is empty."""
    return bool(name) and not any("\ud800" <= char <= "\udfff" for char in name)


def _texts(steps: Iterable[Step]) -> Iterator[str]:
    """Yield every name, pattern and template of some steps."""
    for step in steps:
        if isinstance(step, RenameTable):
            yield from (text for pair in step.names.items() for text in pair)
        else:
            for value in step.fields().values():
                texts = value if isinstance(value, list) else [value]
                yield from (text for text in texts if isinstance(text, str))


# Characters with a short escape are in both parts; the second one counts.
_ESCAPES = {
    **{code: f"\\u{code:04X}" for code in (*range(0x20), 0x7F)},
    **{
        ord(char): escape
        for char, escape in zip(
            '\b\t\n\f\r"\\', ("\\b", "\\t", "\\n", "\\f", "\\r", '\\"', "\\\\"), strict=True
        )
    },
}


def _basic(text: str) -> str:
    """Return a TOML string with escapes for what does not print as itself."""
    text = text.translate(_ESCAPES)
    return f'"{text if text.isprintable() else "".join(map(_unicode_escape, text))}"'


def _unicode_escape(char: str) -> str:
    code = ord(char)
    # A surrogate has no escape in TOML: encoding the text finds it.
    if char.isprintable() or 0xD800 <= code <= 0xDFFF:
        return char
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _literal(text: str) -> str:
    """Return a TOML string without escapes, in which patterns are readable, if the text allows it."""
    plain = "'" not in text and text.isprintable()
    return f"'{text}'" if plain else _basic(text)


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return _literal(value) if isinstance(value, str) else str(value)


def _comment_lines(comment: str) -> list[str]:
    """Return text as comment lines, with escapes for the control characters that TOML forbids there."""
    lines = comment.split("\n") if comment else []
    return [f"# {''.join(map(_in_comment, line))}".rstrip() for line in lines]


def _in_comment(char: str) -> str:
    code = ord(char)
    if (code < 0x20 and char != "\t") or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if 0xD800 <= code <= 0xDFFF else char
