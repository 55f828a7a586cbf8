"""Proposals by themselves: how they are found, and the reasons that they give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.compare.proposals import Proposal, propose
from ckptfmt.dtypes import DTYPES
from ckptfmt.tensors.restore import Mismatch, Spec

FLOAT, HALF, STRING = DTYPES[1], DTYPES[19], DTYPES[7]


def specs(shapes: Mapping[str, Any]) -> dict[str, Spec]:
    return {name: Spec(FLOAT, shape) for name, shape in shapes.items()}


def proposed(wanted: Mapping[str, Any], stored: Mapping[str, Any], **names: Any) -> dict[str, Proposal]:
    return {proposal.wanted: proposal for proposal in propose(specs(wanted), specs(stored), [], **names)}


def test_keys_of_objects_are_compared_by_full_names() -> None:
    stored = {"opt/_variables/0": (3, 3), "opt/_variables/1": (3, 3)}
    wanted = {"encoder/key/kernel": (3, 3), "encoder/query/kernel": (3, 3)}
    called = {"opt/_variables/0": "net/encoder/query/kernel", "opt/_variables/1": "net/encoder/key/kernel"}
    found = proposed(wanted, stored, stored_as=called)
    assert {name: p.stored for name, p in found.items()} == {
        "encoder/key/kernel": "opt/_variables/1",
        "encoder/query/kernel": "opt/_variables/0",
    }
    turned = proposed(stored, wanted, wanted_as=called)
    assert {p.stored: name for name, p in turned.items()} == {name: p.stored for name, p in found.items()}


def test_a_full_name_that_several_variables_share_is_not_compared() -> None:
    called = dict.fromkeys(("a/0", "a/1"), "dense/kernel")
    assert not proposed({"dense/kernel": (), "x": ()}, {"a/0": (), "a/1": ()}, stored_as=called)


def test_the_reason_mentions_a_tie() -> None:
    wanted = {"left/kernel": (2, 3), "right/kernel": (2, 3)}
    found = proposed(wanted, {"first/kernel": (2, 3), "second/kernel": (2, 3)})
    assert [p.reason.partition(", ")[2] for p in found.values()] == ["others are as similar"] * 2
    assert [p.stored for p in found.values()] == ["first/kernel", "second/kernel"]


def test_square_matrices_are_transposed_if_all_others_of_their_kind_are() -> None:
    stored = {"q/weight": (4, 4), "fc/weight": (4, 8), "emb/weight": (9, 4)}
    wanted = {"q/kernel": (4, 4), "fc/kernel": (8, 4), "emb/embedding": (9, 4)}
    found = proposed(wanted, stored)
    assert {name: p.transpose for name, p in found.items()} == {
        "q/kernel": True,
        "fc/kernel": True,
        "emb/embedding": False,
    }
    assert "transposed like the others of its kind" in found["q/kernel"].reason


def test_square_matrices_stay_if_others_of_their_kind_do_not_agree() -> None:
    stored = {"q/weight": (4, 4), "fc/weight": (4, 8), "out/weight": (3, 7)}
    wanted = {"q/kernel": (4, 4), "fc/kernel": (8, 4), "out/kernel": (3, 7)}
    assert not proposed(wanted, stored)["q/kernel"].transpose


def test_strings_are_never_cast_to_numbers() -> None:
    wanted, stored = {"dense/bias": Spec(FLOAT, (3,))}, {"dense/b": Spec(STRING, (3,))}
    assert propose(wanted, stored, []) == []
    misfit = Mismatch("w", "w", Spec(STRING, ()), Spec(FLOAT, ()))
    assert propose({}, {}, [misfit]) == []


def test_a_misfit_is_cast_and_transposed() -> None:
    misfit = Mismatch("w", "v", Spec(HALF, (2, 3)), Spec(FLOAT, (3, 2)))
    (fix,) = propose({}, {}, [misfit])
    assert (fix.stored, fix.wanted, fix.cast, fix.transpose) == ("v", "w", FLOAT, True)
    assert fix.reason == "found by name, transposed, float16 to float32"


def test_names_that_a_plan_cannot_hold_stay_missing() -> None:
    assert not proposed({"w": (2, 3)}, {"\udcff": (2, 3)})
    assert not proposed({"": (2, 3)}, {"w": (2, 3)})


NAMES = st.text(alphabet="ab12/._#wk", max_size=8)
SPECS = st.builds(
    Spec,
    st.sampled_from([None, FLOAT, HALF, STRING]),
    st.none() | st.lists(st.sampled_from([None, 1, 2, 3]), max_size=3).map(tuple),
)


@given(
    st.dictionaries(NAMES, SPECS),
    st.dictionaries(NAMES, SPECS.filter(lambda s: s.dtype is not None and s.shape and None not in s.shape)),
    st.dictionaries(NAMES, NAMES),
    st.dictionaries(NAMES, NAMES),
)
def test_each_tensor_is_proposed_once_and_fits(
    wanted: dict[str, Spec], stored: dict[str, Spec], wanted_as: dict[str, str], stored_as: dict[str, str]
) -> None:
    found = propose(wanted, stored, [], wanted_as=wanted_as, stored_as=stored_as)
    assert len({p.wanted for p in found}) == len({p.stored for p in found}) == len(found)
    order = list(wanted)
    assert [order.index(p.wanted) for p in found] == sorted(order.index(p.wanted) for p in found)
    for proposal in found:
        got, want = stored[proposal.stored], wanted[proposal.wanted]
        assert got.shape is not None
        shape = got.shape[::-1] if proposal.transpose else got.shape
        if want.shape is not None:
            assert len(shape) == len(want.shape)
            assert all(q in (None, p) for p, q in zip(shape, want.shape, strict=True))
        assert (proposal.cast or got.dtype) == want.dtype or want.dtype is None
        assert proposal.reason
