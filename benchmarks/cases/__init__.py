"""All cases by name, in the order in which they run and are shown.

A case is an entry in the table of one of these modules; ``benchmarks/README.md`` shows how to add one. Jobs
import their libraries inside their functions, so that a process holds only the library it measures.
"""

from __future__ import annotations

from benchmarks.case import Case
from benchmarks.cases import (
    converting,
    edits,
    embedding,
    events,
    forms,
    index,
    large,
    models,
    processes,
    views,
    writing,
)

CASES: dict[str, Case] = {
    **large.CASES,
    **index.CASES,
    **embedding.CASES,
    **forms.CASES,
    **models.CASES,
    **edits.CASES,
    **events.CASES,
    **processes.CASES,
    **views.CASES,
    **writing.CASES,
    **converting.CASES,
}
