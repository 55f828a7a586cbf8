"""Nested dictionaries, from names and back."""

from __future__ import annotations

import pytest

import ckptfmt
from ckptfmt import Checkpoint, errors


def test_nested_is_plain_dictionaries_and_flatten_undoes_it(ckpt: Checkpoint) -> None:
    tree = ckpt.model_variables().to_nested()
    assert type(tree["a"]) is dict
    assert tree["a"]["b"].tolist() == ckpt["a/b"].tolist()
    flat = ckptfmt.flatten(tree)
    assert list(flat) == ["a/b", "a/bias", "b/w", "c[0]"]
    assert all(flat[name] is not None and flat[name].tolist() == ckpt[name].tolist() for name in flat)


def test_nested_refuses_a_name_that_is_also_a_scope(ckpt: Checkpoint) -> None:
    with pytest.raises(errors.NameConflictError) as caught:
        ckpt.to_nested()
    assert list(caught.value.names) == ["b/w"]
    assert caught.value.names["b/w"][:2] == ("b/w", "b/w/Adam")
    assert caught.value.file == ckpt.prefix


def test_flatten_refuses_what_has_no_single_name() -> None:
    with pytest.raises(errors.NameConflictError) as caught:
        ckptfmt.flatten({"a/b": 1, "a": {"b": 2}})
    assert caught.value.file is None
    with pytest.raises(TypeError):
        ckptfmt.flatten({1: 2})  # type: ignore[dict-item]
    loop: dict[str, object] = {}
    loop["a"] = {"b": loop}
    with pytest.raises(ValueError, match="contains itself"):
        ckptfmt.flatten(loop)


def test_nested_warns_and_is_to_nested(ckpt: Checkpoint) -> None:
    with pytest.warns(DeprecationWarning, match=r"is now to_nested\(\)"):
        tree = ckpt.select("a/b").nested()
    assert list(tree) == ["a"]
