"""Embeddings for TensorBoard's projector, read by TensorBoard itself if it is installed."""

from __future__ import annotations

import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ckptfmt
from ckptfmt.converting.sinks.projector import CONFIG
from tests.support.memory_filesystem import MemoryFilesystem

RANDOM = np.random.default_rng(0)
MATRICES: dict[str, Any] = {
    "emb": RANDOM.normal(size=(5, 3)).astype(np.float32),
    "EMB": RANDOM.normal(size=(5, 3)).astype(ml_dtypes.bfloat16),
    "a/b/emb:0": np.arange(6).reshape(2, 3),
    'q"\\\nü': RANDOM.normal(size=(2, 2)),
    "bool": np.array([[True, False]]),
    "one": np.array([[0.1]], np.float16),
    "special": np.array([[np.nan, np.inf, -np.inf, 1e-45, 3.4e38]], np.float32),
}


def table(text: str) -> np.ndarray:
    return np.array([[float(cell) for cell in line.split("\t")] for line in text.splitlines()])


def test_each_matrix_is_a_table_of_text(tmp_path: Path) -> None:
    done = ckptfmt.convert(MATRICES, tmp_path / "projector")
    assert done.format == "projector"
    assert done.files == (str(tmp_path / "projector"),)
    tables = {path.name: path.read_text() for path in (tmp_path / "projector").iterdir()}
    files = ["emb.tsv", "EMB_1.tsv", "a_b_emb_0.tsv", "q.tsv", "bool.tsv", "one.tsv", "special.tsv"]
    assert set(tables) == {CONFIG, *files}
    assert tables["a_b_emb_0.tsv"] == "0\t1\t2\n3\t4\t5\n"
    assert tables["bool.tsv"] == "1\t0\n"
    for name, file in zip(MATRICES, files, strict=True):
        array = MATRICES[name]
        assert np.array_equal(
            table(tables[file]).astype(array.dtype), array, equal_nan=array.dtype.kind == "f"
        )


def test_large_tables_are_written_in_pieces(tmp_path: Path) -> None:
    arrays = {
        "tall": RANDOM.normal(size=(40_000, 3)).astype(np.float32),
        "wide": RANDOM.normal(size=(2, 300_001)).astype(np.float32),
    }
    ckptfmt.save(tmp_path / "model", arrays)
    tracemalloc.start()
    ckptfmt.convert(tmp_path / "model", tmp_path / "p", to="projector")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20
    for name, array in arrays.items():
        assert np.array_equal(table((tmp_path / "p" / f"{name}.tsv").read_text()).astype(np.float32), array)


def test_bytes(tmp_path: Path) -> None:
    array = RANDOM.normal(size=(100, 7)).astype(np.float32)
    ckptfmt.convert({"emb": array}, tmp_path / "p", to="projector-bytes")
    assert (tmp_path / "p" / "emb.bytes").read_bytes() == array.tobytes()
    # TensorBoard reads a table as numbers only if it is not text.
    with pytest.raises(ckptfmt.errors.ConversionError, match="would take the values for text"):
        ckptfmt.convert({"emb": np.zeros((3, 3), np.float32)}, tmp_path / "q", to="projector-bytes")
    with pytest.raises(ckptfmt.errors.ConversionError, match="no dtype float64"):
        ckptfmt.convert({"emb": np.zeros((3, 3))}, tmp_path / "q", to="projector-bytes")
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_what_is_no_matrix_of_numbers_is_refused(tmp_path: Path) -> None:
    arrays = {
        "bias": np.zeros(3),
        "kernel": np.zeros((3, 3, 3)),
        "empty": np.zeros((0, 3)),
        "words": np.full((2, 2), b"word", object),
        "complex": np.zeros((2, 2), np.complex64),
        "name\udcff": np.zeros((2, 2)),
        "good": np.zeros((2, 2)),
    }
    with pytest.raises(ckptfmt.errors.ConversionError) as caught:
        ckptfmt.convert(arrays, tmp_path / "projector")
    assert set(caught.value.problems) == set(arrays) - {"good"}
    assert str(caught.value).endswith(": pass select= with the matrices to show")
    with pytest.raises(ValueError, match="verify: projector keeps no dtypes"):
        ckptfmt.convert(arrays, tmp_path / "projector", select="good", verify=True)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_replaced_only_with_overwrite(tmp_path: Path) -> None:
    ckptfmt.convert({"old": np.zeros((2, 2))}, tmp_path / "projector")
    with pytest.raises(ckptfmt.errors.AlreadyExistsError):
        ckptfmt.convert({"new": np.zeros((2, 2))}, tmp_path / "projector")
    ckptfmt.convert({"new": np.zeros((2, 2))}, tmp_path / "projector", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "projector").iterdir()) == ["new.tsv", CONFIG]


def test_file_systems_of_others() -> None:
    fs = MemoryFilesystem({})
    ckptfmt.convert(MATRICES, "logs/projector", fs=fs)
    with closing(fs.open("logs/projector/bool.tsv")) as file:
        assert bytes(file.read(0, file.size)) == b"1\t0\n"


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["projector", "projector-bytes"])
def test_tensorboard_reads_it(tmp_path: Path, kind: str) -> None:
    plugin = pytest.importorskip(
        "tensorboard.plugins.projector.projector_plugin", reason="TensorBoard is not installed"
    )
    base = pytest.importorskip("tensorboard.plugins.base_plugin")
    werkzeug = pytest.importorskip("werkzeug.test")
    arrays = MATRICES if kind == "projector" else {"emb": MATRICES["emb"]}
    ckptfmt.convert(arrays, tmp_path / "logs", to=kind)
    projector = plugin.ProjectorPlugin(base.TBContext(logdir=str(tmp_path / "logs")))
    client = werkzeug.Client(projector.get_plugin_apps()["/tensor"])
    for name, array in arrays.items():
        answer = client.get("/tensor", query_string={"run": ".", "name": name.removesuffix(":0")})
        assert answer.status_code == 200
        got = np.frombuffer(answer.data, np.float32)
        assert np.array_equal(got.reshape(array.shape), array.astype(np.float32), equal_nan=True)
    config = projector._configs["."]
    assert [info.tensor_name for info in config.embeddings] == [name.removesuffix(":0") for name in arrays]
    assert [list(info.tensor_shape) for info in config.embeddings] == [
        list(each.shape) for each in arrays.values()
    ]
