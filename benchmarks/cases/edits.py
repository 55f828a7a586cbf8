"""Edits: a SavedModel with one thing changed, whose variables stay as they are."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

from benchmarks.case import Case, Job, Target
from benchmarks.cases.models import scratch_folder
from benchmarks.inputs import edited_signature

_NUMBERS = count()


def model_and_target(inputs: Path) -> tuple[Path, Path]:
    """The model, and a directory for the edited one, which does not exist yet.

    It is beside the model, because other file systems would have to copy the variables.
    """
    folder = inputs / "large_model" / "edited"
    shutil.rmtree(folder, ignore_errors=True)
    return inputs / "large_model" / "model", folder / str(next(_NUMBERS))


def ckptfmt_edit(given: tuple[Path, Path], *, link: bool = True) -> object:
    import ckptfmt

    model, target = given
    with ckptfmt.open_saved_model(model) as opened:
        return opened.with_signatures(edited_signature()).write(target, link=link)


def ckptfmt_copy(given: tuple[Path, Path]) -> object:
    """The same with the variables copied, by the system if it can."""
    return ckptfmt_edit(given, link=False)


def ckptfmt_graph(given: tuple[Path, Path]) -> object:
    """Edit the graph and write it, without the variables."""
    import ckptfmt

    model, _ = given
    with ckptfmt.open_saved_model(model) as opened:
        edited = opened.with_signatures(edited_signature())
        path = Path(scratch_folder().name) / "saved_model.pb"
        ckptfmt.MetaGraph(edited.meta_graph.message, str(path)).write(path, overwrite=True)
    return path


def python_copytree(given: tuple[Path, Path]) -> object:
    model, target = given
    return shutil.copytree(model, target)


CASES: dict[str, Case] = {
    "edit: change a signature of a SavedModel": Case(
        ("large_model",),
        {
            "ckptfmt": Job(ckptfmt_edit, model_and_target),
            "ckptfmt: variables copied": Job(ckptfmt_copy, model_and_target),
            "ckptfmt: graph alone": Job(ckptfmt_graph, model_and_target),
            "python: copytree, nothing edited": Job(python_copytree, model_and_target),
        },
        (
            Target("times", 1 / 3, "ckptfmt: graph alone", "≤ 3 of the time"),
            Target("times", 20, "python: copytree, nothing edited"),
        ),
        cold=False,
        note="The variables, 1 GiB at full size, are hard links in the edited model. ckptfmt syncs its files "
        "and directories to storage; copytree syncs nothing.",
    ),
}
