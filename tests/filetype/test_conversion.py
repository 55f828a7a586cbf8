"""Files that were changed as text: every function that reads them says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfmt
from ckptfmt.errors import CorruptError
from ckptfmt.record.damage import Damage
from tests.support.command_line import run
from tests.support.conversions import CONVERSIONS
from tests.support.corpus import CORPUS
from tests.support.file_kinds import EVENT, record
from tests.support.golden import GOLDEN
from tests.support.table_writer import write_bundle

EACH_CONVERSION = pytest.mark.parametrize("conversion", CONVERSIONS)
AS_TEXT = r": changed as text: .*; transfer it again as binary$"


GRAPHS = [
    pytest.param(path, function, verb, id=str(path.relative_to(GOLDEN)))
    for suffix, function, verb in (
        ("*.meta", ckptfmt.read_meta_graph, "graph"),
        ("saved_model.pb", ckptfmt.open_saved_model, "model"),
    )
    for path in sorted(GOLDEN.rglob(suffix))[:3]
]
"""Files of graphs, each with the function and the verb that read it."""


@EACH_CONVERSION
@pytest.mark.parametrize(("path", "function", "verb"), GRAPHS)
def test_a_graph(
    path: Path, function: Callable[[Path], Any], verb: str, conversion: str, tmp_path: Path
) -> None:
    target = tmp_path / path.name
    target.write_bytes(CONVERSIONS[conversion](path.read_bytes()))
    with pytest.raises(CorruptError, match=AS_TEXT) as caught:
        function(target)
    assert caught.value.file == str(target)
    assert "changed as text" in run(verb, target).stderr


def test_a_model_that_was_committed_as_text() -> None:
    # A binary message that its author named .pbtxt: Git, or an editor, removed all its carriage returns.
    path = CORPUS / "reviews_pbtxt"
    if not path.exists():
        pytest.skip(f"no corpus at {CORPUS}; set CKPTFMT_CORPUS")
    for reader in (ckptfmt.open_saved_model, ckptfmt.read_graph):
        with pytest.raises(CorruptError, match="changed as text: carriage returns were removed"):
            reader(path)


@EACH_CONVERSION
def test_an_index(conversion: str, tmp_path: Path) -> None:
    names = {f"layer/{number}": np.zeros((10, number), np.float32) for number in range(50)}
    index = Path(f"{write_bundle(tmp_path / 'model', names)}.index")
    index.write_bytes(CONVERSIONS[conversion](index.read_bytes()))
    for path in (index, tmp_path / "model"):
        with pytest.raises(CorruptError, match=AS_TEXT):
            ckptfmt.open(path)
    assert "changed as text" in run("ls", index).stderr


@EACH_CONVERSION
def test_a_data_shard(conversion: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    prefix = write_bundle(tmp_path / "model", {"w": values})
    data = Path(f"{prefix}.data-00000-of-00001")
    data.write_bytes(CONVERSIONS[conversion](data.read_bytes()))
    with pytest.raises(CorruptError, match=r"the file was changed as text: .*; transfer it again as binary$"):
        ckptfmt.open(prefix)["w"]
    errors = [each for each in ckptfmt.open(prefix).verify().problems if each.severity == "error"]
    assert "the file was changed as text" in errors[0].message


def test_verification_says_once_for_a_data_shard_that_it_was_changed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    prefix = write_bundle(tmp_path / "m", {f"v{i}": rng.random(2000).astype(np.float32) for i in range(5)})
    data = Path(f"{prefix}.data-00000-of-00001")
    data.write_bytes(data.read_bytes().replace(b"\n", b"\r\n"))
    problems = ckptfmt.open(prefix).verify().problems
    assert ["changed as text" in each.message for each in problems] == [True, *[False] * 5]


def event_file(path: Path, conversion: str, events: int) -> Path:
    scalars = (
        record(
            b"\x09"
            + np.float64(step).tobytes()
            + b"\x10"
            + bytes([step % 128])
            + b"\x2a\x0d\x0a\x0b\x0a\x04loss\x15"
            + np.float32(step).tobytes()
        )
        for step in range(events)
    )
    path.write_bytes(CONVERSIONS[conversion](b"".join([EVENT, *scalars])))
    return path


def test_events(tmp_path: Path) -> None:
    path = event_file(tmp_path / "events.out.tfevents.1.h", "line feeds", 500)
    damage: list[Damage] = []
    log = ckptfmt.open_events(path, on_damage=damage.append)
    assert len(log.scalars) == 0
    # Once: at the first place, and no other.
    assert "the file was changed as text: every \\n became \\r\\n" in str(damage[0])
    assert not any("as text" in str(each) for each in damage[1:])
    assert len(damage) > 500
    with pytest.raises(CorruptError, match="the file was changed as text"):
        ckptfmt.open_events(path, strict=True).gather()
    with pytest.raises(CorruptError, match="the file was changed as text"):
        list(ckptfmt.open_records(path, strict=True))


@pytest.mark.parametrize("conversion", ["UTF-8", "Latin-1", "Windows-1252"])
def test_events_without_a_single_header(conversion: str, tmp_path: Path) -> None:
    path = event_file(tmp_path / "events.out.tfevents.1.h", conversion, 20)
    with pytest.raises(CorruptError, match=AS_TEXT):
        ckptfmt.open_events(path).gather()
    with pytest.raises(CorruptError, match=r"not a file of records: .*changed as text"):
        list(ckptfmt.open_records(path))


def test_the_command_line_tells_much_damage_in_a_few_lines(tmp_path: Path) -> None:
    path = event_file(tmp_path / "events.out.tfevents.1.h", "line feeds", 2000)
    damage: list[Damage] = []
    ckptfmt.open_events(path, on_damage=damage.append).gather()
    for args in (["events", tmp_path], ["events", path, "--follow", "--timeout", "0"]):
        result = run(*args)
        assert result.exit_code == 3
        lines = [line for line in result.stderr.splitlines() if "skipped" in line]
        assert len(lines) == 4
        assert "changed as text" in lines[0]
        assert f"… and {len(damage) - 3:,} more damaged stretches: " in lines[3]
