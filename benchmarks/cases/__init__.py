"""All cases, by name, in the order in which they are run and shown.

A case is an entry in the table of one of these modules; ``benchmarks/README.md`` shows how to add one. What a
job imports, it imports itself, so that a process holds only what it measures.
"""

from __future__ import annotations

from benchmarks.case import Case
from benchmarks.cases import embedding, events, forms, index, large, models, processes, views

CASES: dict[str, Case] = {
    **large.CASES,
    **index.CASES,
    **embedding.CASES,
    **forms.CASES,
    **models.CASES,
    **events.CASES,
    **processes.CASES,
    **views.CASES,
}
