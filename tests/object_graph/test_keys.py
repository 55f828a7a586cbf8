"""The grammar of keys: names escaped and not, and short names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.object_graph.keys import escape, short_name, unescape


@given(st.text(st.sampled_from("./Sa") | st.characters()))
def test_unescaping_undoes_escaping(name: str) -> None:
    escaped = escape(name)
    assert "/" not in escaped
    assert unescape(escaped) == name


@given(st.text(st.sampled_from("./Sa")), st.text(st.sampled_from("./Sa")))
def test_names_that_differ_are_escaped_differently(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("model/kernel/.ATTRIBUTES/VARIABLE_VALUE", "model/kernel"),
        ("table/.ATTRIBUTES/table-keys", "table/table-keys"),
        ("by_name/a.Sb/.ATTRIBUTES/VARIABLE_VALUE", "by_name/a/b"),
        ("v/.OPTIMIZER_SLOT/opt/m/.ATTRIBUTES/VARIABLE_VALUE", "v/.OPTIMIZER_SLOT/opt/m"),
        ("/.ATTRIBUTES/VARIABLE_VALUE", None),
        ("global_step", None),
    ],
)
def test_a_short_name_is_the_path_in_a_key(key: str, name: str | None) -> None:
    assert short_name(key) == name
