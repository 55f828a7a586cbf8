"""Names that one verb prints are names that all verbs take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest

import ckptfmt
from ckptfmt import Checkpoint, errors
from ckptfmt.cli.app import app
from ckptfmt.cli.selection import Selection
from ckptfmt.cli.typed_names import TypedNames
from tests.support import golden
from tests.support.command_line import run, run_json
from tests.support.corpus import CHECKPOINT_KINDS, CORPUS, entries
from tests.support.golden import GOLDEN

CHOICES = [
    *(Selection(names, weights, ema=False) for names in (None, "full", "path") for weights in (False, True)),
    Selection("stored", weights=True, ema=False),
]


@contextmanager
def opened(path: object) -> Iterator[tuple[Checkpoint, TypedNames]]:
    with click.Context(app), ckptfmt.open(str(path)) as checkpoint:
        yield checkpoint, TypedNames(checkpoint, str(path))


def printed(path: object, checkpoint: Checkpoint) -> dict[str, set[str]]:
    """Return what ``ls``, ``tree`` and ``model`` print, with the tensors that they mean."""
    means: dict[str, set[str]] = {}
    for selection in CHOICES:
        for name, stored in selection.of(checkpoint)._stored().items():
            means.setdefault(name, set()).add(stored or "")
    for node in run_json("tree", path)["nodes"]:
        if len(node["keys"]) == 1 and node["path"]:
            means.setdefault(node["path"], set()).add(node["keys"][0])
    try:
        with ckptfmt.open_saved_model(str(path)) as model:
            for name, source in model.variables.sources.items():
                means.setdefault(name, set()).add(source.name)
    except errors.CkptfmtError:
        pass  # not a model
    return means


def check(path: object) -> None:
    with opened(path) as (checkpoint, typed):
        means = printed(path, checkpoint)
        for name, tensors in means.items():
            [stored] = typed.find([name])
            assert stored in tensors, name
        some = [*list(means)[:3], *list(means)[-3:]]
        for verb in ("ls", "show"):
            for name in some:
                result = run(verb, path, name, "--json", *(["--no-values"] if verb == "show" else []))
                assert result.exit_code == 0, result.stderr


@pytest.mark.corpus
@pytest.mark.parametrize("entry", entries(*CHECKPOINT_KINDS))
def test_names_of_the_corpus(entry: dict[str, Any]) -> None:
    path = CORPUS / entry["path"]
    try:
        ckptfmt.open(path).close()
    except errors.CkptfmtError:
        pytest.skip("without a checkpoint")
    check(path)


@pytest.mark.parametrize("case", ["keras3", "object_slots", "saver", "v1_whole", "names"])
def test_names_of_what_tensorflow_wrote(case: str) -> None:
    check(golden.load(case).path)


@pytest.mark.parametrize("path", ["examples/digits", GOLDEN / "saved_model" / "model"])
def test_names_of_models(path: Path) -> None:
    check(path)
