"""Views through a plan."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt import Checkpoint, errors
from tests.support.checkpoints import new_checkpoint
from tests.support.table_writer import write_bundle

PLAN = r"""
version = 1
[[step]]
drop = '/Adam|power$|global_step'
[[step]]
rename = '^a/'
to = 'x/'
[[step]]
concat = ['^x/b$', '^x/bias$']
into = 'x/both'
axis = 0
[[step]]
cast = '^b/w$'
dtype = "float64"
"""


def test_a_plan_is_a_view_that_reads_as_any_other(tmp_path: Path, ckpt: Checkpoint) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    view = ckpt.apply(tmp_path / "plan.toml")
    both = [*ckpt["a/b"], *ckpt["a/bias"]]
    assert set(view) == {"x/both", "b/w", "c[0]"}
    assert view["x/both"].tolist() == both
    assert not view["x/both"].flags.writeable
    assert view.entries["x/both"].shape == (4,)
    assert view.entries["x/both"].nbytes == 16
    assert view.entries["b/w"].dtype == "float64"
    for reader in (view.slice("x/both"), pickle.loads(pickle.dumps(view.slice("x/both")))):
        assert (reader.name, reader.size, reader.nbytes) == ("x/both", 4, 16)
        assert reader[1:3].tolist() == both[1:3]
        assert not reader.is_verified(...)
    assert view.stored_name("c[0]") == "c[0]"
    assert view.stored_name("x/both") is None
    assert np.shares_memory(view["c[0]"], ckpt["c[0]"])
    out = {"b/w": np.empty(2, np.float64), "c[0]": np.empty(2, np.float32)}
    arrays = view.read(out=out)
    assert arrays["b/w"] is out["b/w"]
    assert arrays["c[0]"] is out["c[0]"]
    assert out["b/w"].tolist() == ckpt["b/w"].tolist()
    assert out["c[0]"].tolist() == ckpt["c[0]"].tolist()
    assert view.read(copy=True)["x/both"].flags.writeable
    assert list(view.select("x/*").renamed({"y": "x/both"})) == ["y"]
    assert pickle.loads(pickle.dumps(view))["x/both"].tolist() == both
    assert view.restore(["no", "b/w"]).report.missing == ["no"]


def test_a_plan_that_does_not_fit_is_an_error_where_the_tensor_is_read(ckpt: Checkpoint) -> None:
    plan = ckptfmt.Plan.parse("version = 1\n[[step]]\nreshape = '^b/w$'\nshape = [3]\n")
    view = ckpt.apply(plan)
    assert view["a/b"].tolist() == ckpt["a/b"].tolist()
    for read in (lambda: view["b/w"], lambda: view.entries["b/w"], lambda: view.slice("b/w")[0]):
        with pytest.raises(errors.PlanError, match="step 1"):
            read()


def test_a_plan_does_not_read_parts_of_a_damaged_tensor(tmp_path: Path) -> None:
    ckpt = new_checkpoint(tmp_path, {"qkv": np.ones((2, 6))})
    data = next(tmp_path.glob("*.data-*"))
    content = bytearray(data.read_bytes())
    content[5] ^= 0x40
    data.write_bytes(content)
    split = "version = 1\n[[step]]\nsplit = 'qkv'\ninto = ['q', 'k', 'v']\naxis = 1"
    with ckpt.apply(ckptfmt.Plan.parse(split)) as view:
        for name in view:
            with pytest.raises(errors.ChecksumError, match="'qkv'"):
                view[name]
        with pytest.raises(errors.ChecksumError, match="'qkv'"):
            view.read()
        # A part of it is read without a checksum, as of any tensor, and says so.
        assert not view.slice("q").is_verified(...)


@pytest.mark.parametrize("verify", [True, False])
def test_parts_of_what_a_plan_makes_are_read_as_parts(tmp_path: Path, verify: bool) -> None:
    array = np.arange(400, dtype=np.int32).reshape(200, 2)
    path = write_bundle(tmp_path / "c", {"w": array})
    names = ", ".join(f"'w{i}'" for i in range(100))
    split = f"[[step]]\nsplit = '^w$'\ninto = [{names}]\naxis = 0"
    first = ckptfmt.Plan.parse("version = 1\n[[step]]\ncast = 'w'\ndtype = 'int64'")
    second = ckptfmt.Plan.parse(f"version = 1\n[[step]]\nreshape = 'w'\nshape = [100, 4]\n{split}")
    with ckptfmt.open(path, verify=verify) as ckpt:
        asked: list[Any] = []
        read = ckpt._region
        ckpt._region = lambda name, region, **how: asked.append(region) or read(name, region, **how)  # type: ignore[method-assign]
        made = ckpt.apply(first).apply(second).read()
        assert asked == [None]  # all of it, once for all its parts
        for i in range(100):
            np.testing.assert_array_equal(made[f"w{i}"], array.reshape(100, 4)[i : i + 1])
        asked.clear()
        parts = ckpt.apply(first).apply(ckptfmt.Plan.parse(f"version = 1\n{split}"))
        np.testing.assert_array_equal(parts["w3"], array[6:8])
        assert asked == [((6, 8), (0, 2))]
