"""Names that HDF5 cannot have: the escapes, and that every name comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.converting.sources.hdf5.escaping import decode_name, encode_name, path_names

PARTS = st.sampled_from(["", ".", "..", "...", "w", "W", "%", "%_", "%2E", "%25", "\0", "ü", "\udcff", ":0"])
NAMES = st.lists(
    st.one_of(st.lists(PARTS, min_size=1, max_size=4).map("/".join), st.text(st.characters(codec="utf-8"))),
    max_size=8,
    unique=True,
)


@given(NAMES)
def test_every_name_comes_back_from_a_path_that_hdf5_can_have(names: list[str]) -> None:
    paths, is_escaped = path_names(names)
    assert [decode_name(path) if is_escaped else path for path in paths.values()] == names
    groups = {path[:at] for path in paths.values() for at, letter in enumerate(path) if letter == "/"}
    assert len({*paths.values(), *groups}) == len(names) + len(groups)
    for path in paths.values():
        assert not {"", ".", ".."} & set(path.split("/"))
        assert "\0" not in path
        path.encode()


def test_names_without_need_stay() -> None:
    assert path_names(["p%41/w", "w:0"]) == ({"p%41/w": "p%41/w", "w:0": "w:0"}, False)


def test_escapes() -> None:
    assert encode_name("a/../.") == "a/%2E%2E/%2E"
    assert encode_name("/a%\0\udcfe") == "%_/a%25%00%FE"
    assert path_names(["w", "w/Adam"])[0] == {"w": "w%_", "w/Adam": "w/Adam"}
