"""Results as JSON and as Markdown: medians, spreads, ratios, and targets next to what was measured."""

# ruff: noqa: RUF001  (a multiplication sign is meant)

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Command, Target
from benchmarks.runner import CaseResult, Outcome

OURS = "ckptfmt"
NOT_MEASURED = "not measured"

Document = dict[str, Any]


# --- JSON -----------------------------------------------------------------------------------------------


def document(about: Mapping[str, Any], cases: Mapping[str, tuple[Case, CaseResult]]) -> Document:
    """Return all results as a JSON document."""
    return {
        "environment": dict(about),
        "cases": {name: _case(case, result) for name, (case, result) in cases.items()},
    }


def _case(case: Case, result: CaseResult) -> Document:
    return {
        "inputs": list(case.inputs),
        "input_bytes": result.nbytes,
        "note": case.note,
        "libraries": {library: _outcome(outcome) for library, outcome in result.libraries.items()},
        "not_run": result.not_run,
        "failed": result.failed,
        "targets": [
            {
                "figure": target.figure,
                "peer": target.peer,
                "wanted": target.wanted,
                "says": target.says,
                "measured": measured(target, case, result),
            }
            for target in case.targets
        ],
    }


def _outcome(outcome: Outcome) -> Document:
    modes: Document = {}
    for mode, reports in outcome.reports.items():
        known = {key: value for key in reports[0] if (value := _largest(reports, key)) is not None}
        modes[mode] = (_times(outcome.seconds(mode)) if mode != "memory" else {}) | known
    return modes


def _largest(reports: list[dict[str, Any]], key: str) -> Any:  # noqa: ANN401
    found = [report[key] for report in reports if key != "seconds" and report.get(key) is not None]
    return max(found, default=None)


def _times(seconds: list[float]) -> Document:
    quartiles = statistics.quantiles(seconds, method="inclusive") if len(seconds) > 1 else seconds * 3
    return {
        "median": statistics.median(seconds),
        "min": min(seconds),
        "max": max(seconds),
        "lower_quartile": quartiles[0],
        "upper_quartile": quartiles[2],
        "runs": len(seconds),
        "seconds": seconds,
    }


# --- targets --------------------------------------------------------------------------------------------


def measured(target: Target, case: Case, result: CaseResult) -> float | None:
    """Return the measured figure of a target, or None if it was not measured."""
    ours = result.libraries.get(OURS)
    if ours is None:
        return None
    if target.figure in ("times", "rate"):
        peer = result.libraries.get(target.peer or "")
        if peer is None or not peer.seconds("warm") or not ours.seconds("warm"):
            return None
        times = statistics.median(peer.seconds("warm")) / statistics.median(ours.seconds("warm"))
        if target.figure == "times":
            return times
        sizes = [result.nbytes.get(input_of(case, library)) for library in (OURS, target.peer or "")]
        return None if None in sizes else times * float(sizes[0] or 0) / float(sizes[1] or 1)
    if target.figure == "speed":
        nbytes, seconds = result.nbytes.get(input_of(case, OURS)), ours.seconds("warm")
        return None if nbytes is None or not seconds else nbytes / statistics.median(seconds)
    if target.figure == "read":
        return ours.figure("cold", "read_bytes")
    if target.figure == "private":
        return ours.figure("memory", "private")
    peak, nbytes = ours.figure("memory", "peak_rss"), result.nbytes.get(case.inputs[0])
    before = ours.figure("memory", "rss_before") if target.figure == "growth" else 0
    return None if peak is None or before is None or nbytes is None else (peak - before) / nbytes


def input_of(case: Case, library: str) -> str:
    """Return the name of the input that a library reads in a case."""
    job = case.jobs[library]
    return case.inputs[0] if isinstance(job, Command) or job.input is None else job.input


def is_reached(target: Target, value: float) -> bool:
    """Return whether a figure reaches its target."""
    return value >= target.wanted if target.figure in ("times", "rate", "speed") else value <= target.wanted


def _wanted(target: Target) -> str:
    if target.figure in ("times", "rate"):
        number = f"≥ {round(target.wanted, 2):,g} ×"
    elif target.figure == "speed":
        number = f"≥ {target.wanted / 1e9:g} GB/s"
    else:
        is_bytes = target.figure in ("private", "read")
        number = f"≤ {mib_text(target.wanted)} MiB" if is_bytes else f"≤ {target.wanted:g} ×"
    return f"{number} ({target.says})" if target.says else number


def _figure(target: Target, value: float | None) -> str:
    if value is None:
        return NOT_MEASURED
    if target.figure in ("private", "read"):
        return f"{mib_text(value)} MiB"
    if target.figure == "speed":
        return f"{value / 1e9:.2f} GB/s"
    return f"{value:,.2f} ×" if value < 100 else f"{value:,.0f} ×"


_ABOUT = {
    "times": "",
    "rate": "bytes per second, against ",
    "private": "private memory",
    "read": "read from storage, cold",
    "peak": "peak resident memory of the process",
    "growth": "peak resident memory without imports",
    "speed": "bytes per second",
}


# --- Markdown -------------------------------------------------------------------------------------------


def markdown(about: Mapping[str, Any], cases: Mapping[str, tuple[Case, CaseResult]]) -> str:
    """Return the results as a page of Markdown."""
    sections = [
        "# Results",
        environment_text(about),
        "## Targets",
        "A ratio compares the medians of warm runs: how many times longer the peer took. Targets are stated "
        "for inputs of full size, and nothing asserts them.",
        _targets(cases),
        "## Warm",
        "The library is imported and the files are in the page cache, read from start to end before the "
        "case; the first run is not counted. Whole processes (*process*) are timed from start to exit.",
        _timings("warm", cases),
        "## Cold",
        "A new process each time, with the inputs dropped from the page cache; the first run is counted."
        + _not_dropped(cases),
        _timings("cold", cases),
        "## Memory",
        "Memory of a new process that does the job once, in MiB. Peak: the largest resident memory, "
        "including imports and mapped pages of files. Private: how much the memory that no other process "
        "shares grew, including pages of files that only this process maps; last, what of it no file backs.",
        _memory(cases),
    ]
    gaps = _gaps(cases)
    if gaps:
        sections += ["## Not run", gaps]
    notes = [f"- *{name}*: {case.note}" for name, (case, _) in cases.items() if case.note]
    if notes:
        sections += ["## Notes", "\n".join(notes)]
    return "\n\n".join(sections) + "\n"


def save(output: Path, content: Document, text: str) -> None:
    """Write results as OUTPUT.json and OUTPUT.md."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    output.with_suffix(".md").write_text(text, encoding="utf-8")


def environment_text(about: Mapping[str, Any]) -> str:
    """Return the environment as one line of Markdown."""
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in about.items() if value is not None)


def table(head: Iterable[str], align: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(head), list(align), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _targets(cases: Mapping[str, tuple[Case, CaseResult]]) -> str:
    rows = []
    for name, (case, result) in cases.items():
        for target in case.targets:
            value = measured(target, case, result)
            reached = "" if value is None else "yes" if is_reached(target, value) else "no"
            against = _ABOUT[target.figure] + (target.peer or "")
            rows.append([name, against, f"wanted {_wanted(target)}", _figure(target, value), reached])
    head = ["case", "against", "wanted", "measured", "reached"]
    return (
        table(head, ["---", "---", "---", "--:", "---"], rows) if rows else "No case with a target was run."
    )


def _timings(mode: str, cases: Mapping[str, tuple[Case, CaseResult]]) -> str:
    rows = []
    for name, (case, result) in cases.items():
        first = True
        ours = result.libraries[OURS].seconds(mode) if OURS in result.libraries else []
        for library, outcome in result.libraries.items():
            seconds = outcome.seconds(mode)
            if not seconds:
                continue
            median = statistics.median(seconds)
            ratio = "" if library == OURS or not ours else _times_text(median / statistics.median(ours))
            shown = f"*process* {library}" if isinstance(case.jobs[library], Command) else library
            spread = f"{ms_text(min(seconds))} to {ms_text(max(seconds))}"
            rate = _rate(result.nbytes.get(input_of(case, library)), median) if case.rate else ""
            rows.append(
                [name if first else "", shown, ms_text(median), spread, str(len(seconds)), rate, ratio]
            )
            first = False
    head = ["case", "library", "median, ms", "min to max, ms", "runs", "GiB/s", "ckptfmt is … × faster"]
    return table(head, ["---", "---", *["--:"] * 5], rows) if rows else "No case was run in this mode."


def _memory(cases: Mapping[str, tuple[Case, CaseResult]]) -> str:
    rows = []
    for name, (_, result) in cases.items():
        first = True
        for library, outcome in result.libraries.items():
            if "memory" not in outcome.reports:
                continue
            figures = [outcome.figure("memory", key) for key in ("peak_rss", "private", "private_dirty")]
            texts = [NOT_MEASURED if figure is None else mib_text(figure) for figure in figures]
            rows.append([name if first else "", library, *texts])
            first = False
    head = ["case", "library", "peak", "private", "not backed by a file"]
    return table(head, ["---", "---", "--:", "--:", "--:"], rows) if rows else "No case was run in this mode."


def _not_dropped(cases: Mapping[str, tuple[Case, CaseResult]]) -> str:
    """A warning if inputs stayed in the page cache."""
    outcomes = [outcome for _, result in cases.values() for outcome in result.libraries.values()]
    colds = [report for outcome in outcomes for report in outcome.reports.get("cold", [])]
    if any(not report["dropped"] for report in colds):
        return " **The page cache could not be dropped here, so these runs were not cold.**"
    most = max((report["cached"] for report in colds if report.get("cached") is not None), default=0)
    return f" Up to {most:.0%} of an input stayed in the page cache." if most > 0.005 else ""


def _gaps(cases: Mapping[str, tuple[Case, CaseResult]]) -> str:
    rows = [
        f"- *{name}*, {library}: {reason}"
        for name, (_, result) in cases.items()
        for library, reason in {
            **result.not_run,
            **{k: f"failed: {v}" for k, v in result.failed.items()},
        }.items()
    ]
    return "\n".join(rows)


def ms_text(seconds: float) -> str:
    """Return a time in milliseconds as tables show it."""
    milliseconds = 1e3 * seconds
    return f"{milliseconds:,.0f}" if milliseconds >= 1000 else f"{milliseconds:.3g}"


def mib_text(nbytes: float) -> str:
    """Return a size in MiB as tables show it."""
    mebibytes = nbytes / (1 << 20)
    return f"{mebibytes:,.0f}" if mebibytes >= 100 else f"{mebibytes:.3g}"


def _times_text(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2f}"


def _rate(nbytes: int | None, seconds: float) -> str:
    """GiB per second, if there are enough bytes for that to mean something."""
    return f"{nbytes / seconds / (1 << 30):.2f}" if nbytes and nbytes >= 1 << 24 else ""
