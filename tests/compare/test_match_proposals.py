"""Proposals of ``ckptfmt.match`` for tensors that do not match, and the plan made of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.dtypes import DTYPES
from tests.support.table_writer import write_bundle

HIDDEN, INNER = 8, 32


def arrays(shapes: dict[str, Any], dtype: Any = np.float32) -> dict[str, np.ndarray]:
    return {
        name: (np.arange(np.prod(shape, dtype=int)).reshape(shape) + i).astype(dtype)
        for i, (name, shape) in enumerate(shapes.items())
    }


def write(path: Path, shapes: dict[str, Any]) -> str:
    return write_bundle(path, arrays(shapes))


def check_round_trip(stored: str, expected: dict[str, Any]) -> tuple[ckptfmt.Match, ckptfmt.Match]:
    """Match, apply the plan read back from its TOML, and match again: everything proposed must match."""
    before = ckptfmt.match(stored, expected)
    plan = ckptfmt.Plan.parse(before.propose().to_toml())
    assert plan == before.propose()
    with ckptfmt.open(stored) as checkpoint:
        after = ckptfmt.match(checkpoint.apply(plan), expected)
    assert set(after.matched) >= {proposal.wanted for proposal in before.proposals} | set(before.matched)
    return before, after


def renames(match: ckptfmt.Match) -> dict[str, str]:
    return {proposal.stored: proposal.wanted for proposal in match.proposals}


def test_layers_counted_from_one_meet_layers_counted_from_zero(tmp_path: Path) -> None:
    stored, wanted, pairs = {}, {}, {}
    for i in range(12):
        for ours, theirs, shape, other in (
            ("attention/query/kernel", "attn.q_proj.weight", (HIDDEN, HIDDEN + 1), (HIDDEN, HIDDEN + 1)),
            ("attention/key/kernel", "attn.k_proj.weight", (HIDDEN, HIDDEN + 1), (HIDDEN, HIDDEN + 1)),
            ("intermediate/dense/kernel", "fc1.weight", (HIDDEN, INNER), (INNER, HIDDEN)),
            ("output/LayerNorm/gamma", "ln.weight", (HIDDEN,), (HIDDEN,)),
            ("output/LayerNorm/beta", "ln.bias", (HIDDEN,), (HIDDEN,)),
        ):
            name, target = f"bert/encoder/layer_{i + 1}/{ours}", f"encoder.layers.{i}.{theirs}"
            stored[name], wanted[target], pairs[name] = shape, other, target
    before, after = check_round_trip(write(tmp_path / "bert", stored), arrays(wanted))
    assert renames(before) == pairs
    assert after.ok
    assert {p.transpose for p in before.proposals if "fc1" in p.wanted} == {True}
    assert all("similar name" in p.reason or "same words" in p.reason for p in before.proposals)


def test_the_numbers_keras_gives_meet_those_of_a_list(tmp_path: Path) -> None:
    stored = write(
        tmp_path / "keras", dict.fromkeys(("dense/kernel", "dense_1/kernel", "dense_2/kernel"), (4, 5))
    )
    match, _ = check_round_trip(stored, {f"layers.{i}.weight": (4, 5) for i in range(3)})
    assert renames(match) == {
        "dense/kernel": "layers.0.weight",
        "dense_1/kernel": "layers.1.weight",
        "dense_2/kernel": "layers.2.weight",
    }


def test_the_only_one_of_a_shape_needs_no_similar_name(tmp_path: Path) -> None:
    match, after = check_round_trip(write(tmp_path / "a", {"x": (3, 7), "y": (2,)}), {"q/r": (3, 7)})
    assert [(p.stored, p.wanted, p.reason) for p in match.proposals] == [
        ("x", "q/r", "only one of this shape")
    ]
    assert after.unused == ["y"]


def test_scalars_are_not_paired_by_their_shape(tmp_path: Path) -> None:
    assert not ckptfmt.match(write(tmp_path / "a", {"beta1_power": ()}), {"learning_rate": ()}).proposals


def test_another_dtype_under_the_same_name_is_cast(tmp_path: Path) -> None:
    stored = write(tmp_path / "a", {"w": (3, 4)})
    match, after = check_round_trip(stored, {"w": np.zeros((3, 4), np.float16)})
    assert [(p.stored, p.wanted, p.cast) for p in match.proposals] == [("w", "w", DTYPES[19])]
    assert after.ok
    with ckptfmt.open(stored) as checkpoint:
        view = checkpoint.apply(match.propose())
        assert view["w"].dtype == np.float16
        np.testing.assert_array_equal(view["w"], checkpoint["w"].astype(np.float16))


def test_another_dtype_under_a_similar_name_is_renamed_and_cast(tmp_path: Path) -> None:
    stored = write(tmp_path / "a", {"encoder/dense/kernel": (3, 4)})
    match, after = check_round_trip(stored, {"encoder.dense.weight": np.zeros((3, 4), np.float64)})
    assert match.proposals[0].cast == "float64"
    assert after.ok


def test_a_matrix_with_its_axes_reversed_is_transposed(tmp_path: Path) -> None:
    stored = write(tmp_path / "a", {"dense/kernel": (3, 4)})
    match, after = check_round_trip(stored, {"dense.weight": (4, 3)})
    assert match.proposals[0].transpose
    assert after.ok
    with ckptfmt.open(stored) as checkpoint:
        turned = checkpoint.apply(match.propose())["dense.weight"]
        np.testing.assert_array_equal(turned, checkpoint["dense/kernel"].T)


def test_the_plan_gives_reasons_and_lists_what_stays_missing(tmp_path: Path) -> None:
    stored = write(tmp_path / "a", {"x": (3, 7), "y": (2,)})
    match = ckptfmt.match(stored, {"q/r": (3, 7), "lost": (9,)})
    toml = match.propose().to_toml()
    assert '"x" = "q/r"  # only one of this shape' in toml
    assert "# still missing:\n#   'lost'" in toml
    assert "# still unused:\n#   'y'" in toml


def test_a_tensor_whose_name_another_gets_is_dropped(tmp_path: Path) -> None:
    stored = write(tmp_path / "a", {"a": (3, 7), "b": (2,)})
    specs = ckptfmt.match(stored, stored).stored
    # Two object graphs with different keys for one object are paired like this.
    match = ckptfmt.Match({"b": "a"}, unused=["b"], stored=specs, wanted={"b": specs["a"]})
    with ckptfmt.open(stored) as checkpoint:
        view = checkpoint.apply(ckptfmt.Plan.parse(match.propose().to_toml()))
        assert {name: entry.shape for name, entry in view.entries.items()} == {"b": (3, 7)}


def test_a_match_needs_no_plan(tmp_path: Path) -> None:
    match = ckptfmt.match(write(tmp_path / "a", {"w": (2,)}), {"w": (2,)})
    assert match.proposals == ()
    assert match.propose().steps == ()


def words(count: int, seed: int) -> list[str]:
    letters = np.random.default_rng(seed).integers(97, 107, (count, 24), dtype=np.uint8)
    return ["/".join(bytes(row[i : i + 8]).decode() for i in (0, 8, 16)) for row in letters]


@pytest.mark.parametrize("kind", ["numbers", "words", "shapes", "unknown sizes"])
def test_many_names_take_seconds(kind: str) -> None:
    count = 20_000
    spec = ckptfmt.Spec(DTYPES[1], (16, 17))
    ours, theirs = words(count, 1), words(count, 2)
    if kind == "numbers":
        ours, theirs = [f"layer_{i}/w" for i in range(count)], [f"l.{i}.weight" for i in range(count)]
    stored = dict.fromkeys(ours, spec)
    wanted = dict.fromkeys(theirs, spec)
    if kind in ("shapes", "unknown sizes"):
        first = 3 if kind == "shapes" else None
        stored = {name: spec._replace(shape=(3, i + 2)) for i, name in enumerate(stored)}
        wanted = {name: spec._replace(shape=(first, i + 2)) for i, name in enumerate(wanted)}
    match = ckptfmt.Match({}, list(wanted), list(stored), stored=stored, wanted=wanted)
    start = time.perf_counter()
    proposals = match.proposals
    assert time.perf_counter() - start < 20
    assert len({p.stored for p in proposals}) == len({p.wanted for p in proposals}) == len(proposals)
    if kind in ("numbers", "shapes"):
        assert len(proposals) == count
