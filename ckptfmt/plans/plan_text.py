r"""Plans as TOML: what the text of a plan file holds.

::

    version = 1
    rest = "keep"                               # what no step has touched: keep (default), drop or error
    general = true                              # a plan for many models: its steps may match nothing
    include = "keras-names"                     # a shipped plan, whose steps come before those of this one

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
    reshape = '/depthwise_kernel$'
    shaped = ["h", "w", "i", "m"]               # only tensors of such a shape, whose sizes get names
    shape = ["h", "w", 1, "i*m"]
    [[step]]
    cast = '^encoder/'
    dtype = "bfloat16"
    [[step]]
    split = '^(.*)/qkv$'                        # matches the whole name
    into = ['\1/q', '\1/k', '\1/v']
    axis = -1
    sizes = [64, 64, -1]                        # -1: the rest; without sizes: equal parts
    [[step]]
    concat = ['^(.*)/q$', '^(.*)/k$']           # each matches the whole name of one part; a single
    into = '\1/qk'                              # pattern matches all, ordered by their numbers
    axis = -1
    [[step]]
    sum = ['^(.*)/bias_ih$', '^(.*)/bias_hh$']  # the same, but added up element by element
    into = '\1/bias'
    [[step]]
    fill = '^(.*)/running_mean$'                # matches the whole name; the tensor itself is kept
    into = '\1/num_batches_tracked'             # made, unless it exists, of one number everywhere,
    value = 0
    shape = []                                  # without shape or dtype: those of the tensor matched
    dtype = "int64"
    [[step]]
    refuse = '^(.*)/bias$'                      # an error for tensors that the plan cannot convert
    because = "such a layer does not exist in PyTorch"
    shaped = ["3*u"]
    beside = '\1/recurrent_kernel'              # only if this tensor exists, too

Every step with patterns may have the conditions ``shaped`` and ``beside``. A size in ``shaped`` is a number,
a name, or a product of these, such as ``"4*u"``; a name that occurs twice must be the same size both times.


Texts are read by :mod:`ckptfmt.plans.parsing` and written by :mod:`ckptfmt.plans.writing`. Every key is
checked for its type and every step for sense, so that errors name the step and suggest what was meant.
:meth:`Plan.lint` says whether a plan fits the tensors of a checkpoint.
"""

from __future__ import annotations

from typing import NamedTuple

from ckptfmt.plans.about import About
from ckptfmt.plans.place import StepPlace
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
    include: str = ""
    """The shipped plan whose steps come first; they are among the steps, unless the text is written."""
    comment: str = ""
    places: tuple[StepPlace, ...] = ()
    """The file and the number of each step; empty if they are those of one file."""
