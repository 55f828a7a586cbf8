"""Text conversion: converted binary data are told, and neither intact data nor texts are."""

from __future__ import annotations

import numpy as np
import pytest

from ckptfmt.wire.text_conversion import text_conversion
from tests.support.conversions import CONVERSIONS
from tests.support.corpus import CORPUS
from tests.support.file_kinds import graph_def, meta_graph, saved_model
from tests.support.table_writer import encode_v1

NOISE = np.random.default_rng(1).bytes(20_000)
FLOATS = np.random.default_rng(2).normal(size=5000).astype(np.float32).tobytes()


@pytest.mark.parametrize("conversion", CONVERSIONS)
@pytest.mark.parametrize("data", [NOISE, FLOATS], ids=["noise", "floats"])
def test_converted_data_are_told(data: bytes, conversion: str) -> None:
    said = text_conversion(CONVERSIONS[conversion](data))
    assert said is not None
    assert said.startswith("changed as text: ")
    assert said.endswith("; transfer it again as binary")
    assert ("FTP" in said) is (conversion == "line feeds")
    assert ("is lost" in said) is (conversion in ("UTF-8", "Windows-1252"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        NOISE,
        FLOATS,
        bytes(1000),
        b"\r\n" * 100,
        b"a: 1\r\nb: 2\r\nc: 3\r\n",
        "größer\n".encode() * 100,
        graph_def().SerializeToString(),
        meta_graph().SerializeToString(),
        saved_model().SerializeToString(),
        encode_v1(),
    ],
)
def test_intact_data_are_not(data: bytes) -> None:
    assert text_conversion(data) is None


def test_no_file_of_the_corpus_looks_converted() -> None:
    if not CORPUS.exists():
        pytest.skip("no corpus")
    for path in CORPUS.rglob("*"):
        if path.is_file() and path.parent.name != "reviews_pbtxt":
            with path.open("rb") as file:
                assert text_conversion(file.read(1 << 20)) is None, path


@pytest.mark.parametrize("old", [b"\r", b"\r\n"])
def test_removed_carriage_returns_are_told(old: bytes) -> None:
    data = np.random.default_rng(3).choice(32, 1_000_000).astype(np.uint8).tobytes()
    assert text_conversion(data) is None
    said = text_conversion(data.replace(old, old[1:]))
    assert said is not None
    assert "carriage returns were removed" in said
