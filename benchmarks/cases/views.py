"""Views: all names through each kind of view of a checkpoint that is already open and listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Job
from benchmarks.cases.forms import ckptfmt_tree, tensorflow_tree
from benchmarks.cases.index import ckptfmt_list, tensorflow_list

PLAN = r"""
version = 1
[[step]]
drop = '^model/layer_1/'
[[step]]
rename = '^model/layer_(\d+)/'
to = 'encoder/\1/'
"""


def listed(name: str) -> Callable[[Path], Any]:
    """Open and list a checkpoint, and load its object graph if it has one."""

    def ready(inputs: Path) -> object:
        import ckptfmt

        checkpoint = ckptfmt.open(inputs / name / "model")
        list(checkpoint)
        assert (checkpoint.object_graph is None) == (name == "many")
        return checkpoint

    return ready


def planned(ckpt: Any) -> Iterable[str]:  # noqa: ANN401
    from ckptfmt import parse_plan

    names: Iterable[str] = ckpt.apply(parse_plan(PLAN))
    return names


def names_through(make: Callable[[Any], Iterable[str]], name: str) -> Job:
    """The job of listing, through a view, a checkpoint that is already open and listed."""
    return Job(lambda ckpt: list(make(ckpt)), listed(name), input=name)


VIEWS: dict[str, Callable[[Any], Iterable[str]]] = {
    "renamed by rules": lambda ckpt: ckpt.renamed([(r"^model/layer_(\d+)/", r"encoder/\1/")]),
    "renamed by a mapping": lambda ckpt: ckpt.renamed({f"new/{name}": name for name in ckpt}),
    "select": lambda ckpt: ckpt.select("model/*", exclude="*/bias/*"),
    "ema": lambda ckpt: ckpt.ema(),
    "model_variables": lambda ckpt: ckpt.model_variables(),
    "a plan": planned,
}
OBJECT_VIEWS: dict[str, Callable[[Any], Iterable[str]]] = {
    "by_object_path": lambda ckpt: ckpt.by_object_path(),
    "by_full_name": lambda ckpt: ckpt.by_full_name(),
    "model_variables": lambda ckpt: ckpt.model_variables(),
}

CASES: dict[str, Case] = {
    **{
        f"views: names through {view}, against opening and listing": Case(
            ("many",),
            {
                "ckptfmt": names_through(make, "many"),
                "ckptfmt: opening": Job(ckptfmt_list("many")),
                "tensorflow: load_checkpoint, shape map": Job(tensorflow_list("many")),
            },
            cold=False,
        )
        for view, make in VIEWS.items()
    },
    **{
        f"views: names through {view} of objects, against opening and listing": Case(
            ("objects",),
            {
                "ckptfmt": names_through(make, "objects"),
                "ckptfmt: opening": Job(ckptfmt_tree),
                "tensorflow: CheckpointView": Job(tensorflow_tree),
            },
            cold=False,
        )
        for view, make in OBJECT_VIEWS.items()
    },
}
