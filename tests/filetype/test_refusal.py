"""Errors for files of the wrong kind; what verbs make of them is tested in ``cli/test_refusals.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

import ckptfmt
from ckptfmt.errors import CkptfmtError, UnsupportedError
from tests.support.file_kinds import SAMPLES, Sample

READERS = {
    "open": ckptfmt.open,
    "read_graph": ckptfmt.read_graph,
    "read_meta_graph": ckptfmt.read_meta_graph,
    "open_saved_model": ckptfmt.open_saved_model,
}
"""By name."""


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("sample", SAMPLES.values(), ids=list(SAMPLES))
def test_a_function_reads_a_file_or_names_the_one_that_does(
    sample: Sample, reader: str, tmp_path: Path
) -> None:
    path = sample.make(tmp_path)
    error: CkptfmtError | None = None
    try:
        READERS[reader](path)
    except CkptfmtError as caught:
        error = caught
    if error is not None:
        assert str(tmp_path) in str(error)
    if isinstance(error, UnsupportedError):
        assert error.file == str(path)
        # Nobody is sent back to the function that has just refused the file.
        assert f": ckptfmt.{reader} reads it," not in str(error)
