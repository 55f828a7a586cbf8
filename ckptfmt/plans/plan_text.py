r"""Plans as TOML: what the text of a plan file holds.

::

    version = 1
    rest = "keep"                               # what no step has touched: keep (default), drop or error
    general = true                              # a plan for many models: its steps may match nothing

    [about]                                     # for people: see :class:`ckptfmt.plans.about.About`
    title = "BERT encoders as our trainer names them"
    notes = ["The pooler is left out."]

    [[step]]
    rename = '^bert/encoder/layer_(\d+)/'       # a regular expression; all its matches are replaced
    to = 'encoder/\1/'
    [[step]]
    [step.rename]                               # or a table of exact names, old = new
    "global_step" = "step"
    [[step]]
    drop = '/Adam(_1)?$'
    [[step]]
    transpose = '/kernel$'
    axes = [1, 0]                               # without axes: reversed
    [[step]]
    reshape = '/attention/query/kernel$'
    shape = [-1, 12, 64]
    [[step]]
    cast = '^encoder/'
    dtype = "bfloat16"
    [[step]]
    split = '^(.*)/qkv$'                        # matches the whole name
    into = ['\1/q', '\1/k', '\1/v']
    axis = -1
    sizes = [64, 64, 64]                        # without sizes: equal parts
    [[step]]
    concat = ['^(.*)/q$', '^(.*)/k$']           # each matches the whole name of one part; a single
    into = '\1/qk'                              # pattern matches all, ordered by their numbers
    axis = -1

Texts are read by :mod:`ckptfmt.plans.parsing` and written by :mod:`ckptfmt.plans.writing`. Every key is
checked for its type and every step for sense, so that errors name the step and suggest what was meant.
:meth:`Plan.lint` says whether a plan fits the tensors of a checkpoint.
"""

from __future__ import annotations

from typing import NamedTuple

from ckptfmt.plans.about import About
from ckptfmt.plans.state import Rest
from ckptfmt.plans.step import Step

VERSION = 1
"""The version of plans read and written here."""


class PlanText(NamedTuple):
    """The contents of the text of a plan."""

    steps: tuple[Step, ...]
    rest: Rest = "keep"
    is_general: bool = False
    about: About | None = None
    comment: str = ""
