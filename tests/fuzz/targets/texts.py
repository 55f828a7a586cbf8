"""Texts that people write or paste: state files, plans, indices, names."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

import ckptfmt
from ckptfmt.cli.slice_option import index_text, parse_index
from ckptfmt.errors import CkptfmtError
from ckptfmt.filenames import CheckpointNames
from ckptfmt.text.closest import closest_names
from ckptfmt.text.patterns import literal_prefixes, matcher
from ckptfmt.wire.crc32c import crc32c
from tests.fuzz.mutate.plain import words
from tests.fuzz.target import Target, outcome
from tests.support.golden import GOLDEN
from tests.support.memory_filesystem import MemoryFilesystem, open_bundle
from tests.support.table_writer import HEADER, encode_bundle_index, encode_entry, encode_table

NUMBERS = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
NAMES = ("dense/kernel", "dense/bias", "dense_1/kernel", "conv/w", "step")

ENTRY = encode_entry(shape=NUMBERS.shape, size=NUMBERS.nbytes, crc=crc32c(NUMBERS.tobytes()))
CKPT = open_bundle(encode_bundle_index(dict.fromkeys(NAMES, ENTRY)), NUMBERS.tobytes())
"""A checkpoint in which NUMBERS has several names."""


# --- state files


def judge_state(data: bytes) -> None:
    """Read a state file beside a checkpoint that it may name."""
    files = {"d/checkpoint": data, "d/ckpt-1.index": b"", "d/ckpt-1.data-00000-of-00001": b""}
    fs = MemoryFilesystem(files)
    state = outcome(lambda: ckptfmt.read_checkpoint_state("d", fs=fs))
    latest = outcome(lambda: ckptfmt.latest_checkpoint("d", fs=fs))
    outcome(lambda: ckptfmt.open("d", fs=fs))
    outcome(lambda: ckptfmt.open("d/checkpoint", fs=fs))
    if isinstance(state, ckptfmt.CheckpointState):
        assert latest == state.latest
        assert set(state.existing) <= {"d/ckpt-1"} or "/" in data.decode("utf-8", "replace")


def state_seeds() -> list[bytes]:
    return [path.read_bytes() for path in sorted(GOLDEN.rglob("checkpoint")) if path.is_file()]


STATE_WORDS = rb"""
    model_checkpoint_path all_model_checkpoint_paths all_model_checkpoint_timestamps last_preserved_timestamp
    : " ' # { } [ ] , ; < > \ \x \377 \u00e9 \U0010ffff 1e999 nan - "ckpt-1" .. / C:\ckpt-1 C:\\ckpt-1
""".split()


# --- plans


def judge_plan(data: bytes) -> None:
    """Parse a plan; write it and read it back; apply it, and read all that it makes."""
    fs = MemoryFilesystem({"plan.toml": data})
    plan = outcome(lambda: ckptfmt.Plan.read("plan.toml", fs=fs))
    if isinstance(plan, CkptfmtError):
        return
    text = outcome(plan.to_toml)
    assert isinstance(text, str)
    assert ckptfmt.Plan.parse(text) == plan, "a plan that is written does not read back"
    outcome(lambda: plan.dry_run(CKPT))
    findings = outcome(lambda: plan.lint(CKPT))
    outcome(lambda: plan.inverted(CKPT))
    view = outcome(lambda: CKPT.apply(plan))
    if isinstance(view, CkptfmtError):
        assert isinstance(findings, CkptfmtError) or findings, "nothing to find in a plan that does not apply"
        return
    for name in view:
        outcome(lambda name=name: view.entries[name])
        array = outcome(lambda name=name: view[name])
        if not isinstance(array, CkptfmtError):
            assert view.entries[name].shape == array.shape
            assert np.array_equal(view.slice(name)[...], array, equal_nan=array.dtype.kind == "f")


PLAN = """version = 1
rest = "keep"
[[step]]
rename = '^dense(_\\d)?/(\\w+)$'
to = 'model\\1/\\2'
[[step]]
transpose = 'conv/w'
axes = [2, 0, 1]
[[step]]
reshape = 'step'
shape = [6, -1]
[[step]]
split = 'model/bias'
into = ['a', 'b']
axis = 0
[[step]]
concat = ['^a$', '^b$']
to = 'model/bias'
axis = 0
[[step]]
cast = '.*kernel'
dtype = "float16"
[[step]]
drop = 'save_counter.*'
[[step]]
[step.rename]
"conv/w" = "w"
"""

PLAN_WORDS = rb"""
    [[step]] rename to drop split concat cast transpose reshape axis sizes into shape axes dtype version rest
    [ ] { } " ' = , # . | ^ $ * + ( ) (?i) (?: [a-z] [[a] {2,} ? \1 \g<0> \\ \ud800 \u0000 \t
    -1 0 1e9 9223372036854775808 nan true 1979-05-27 a.b.c '''
""".split()


def plan_seeds() -> list[bytes]:
    steps = PLAN.split("[[step]]\n")
    return [PLAN.encode(), *(f"version = 1\n[[step]]\n{step}".encode() for step in steps[1:])]


# --- indices, names


def judge_index(data: bytes) -> None:
    """Parse an index, and compare what a slice reader takes by it with what NumPy takes."""
    text = data.decode("utf-8", "replace")
    try:
        index = parse_index(text)
    except ValueError:
        return
    assert parse_index(index_text(index)) == index
    try:
        wanted = NUMBERS[index]
    except (IndexError, OverflowError):
        wanted = None
    got = None
    with suppress(IndexError):
        got = CKPT.slice("step")[index]
    assert (got is None) == (wanted is None), f"NumPy and the slice reader differ about {index}"
    assert wanted is None or got is None or (got.shape == wanted.shape and np.array_equal(got, wanted))


def judge_names(data: bytes) -> None:
    """Match names with patterns, look for near ones, and for a checkpoint among files of these names."""
    names = data.decode("utf-8", "surrogateescape").split("\n")
    pattern = names[0]
    test = matcher([pattern])
    prefixes = literal_prefixes([pattern])
    for name in names:
        if test(name):
            assert any(name.startswith(prefix) for prefix in prefixes), "a match lies outside its prefixes"
    closest_names(pattern, names[1:])
    judge_tensor_names(names)
    CheckpointNames.of(names)
    files = {f"d/{name}": b"" for name in names if name.strip("./") and "\0" not in name}
    fs = MemoryFilesystem(files)
    for path in ("d", *list(files)[:5]):
        outcome(lambda path=path: ckptfmt.open(path, fs=fs))
        outcome(lambda path=path: ckptfmt.open_saved_model(path, fs=fs))


def judge_tensor_names(names: list[str]) -> None:
    """Look at a checkpoint whose tensors have these names, and match it with another."""
    entries = {key.encode("utf-8", "surrogateescape"): ENTRY for key in names if key}
    ckpt = open_bundle(encode_table([(b"", HEADER), *sorted(entries.items())]), NUMBERS.tobytes())
    assert list(ckpt) == [key.decode("utf-8", "surrogateescape") for key in sorted(entries)]
    for view in (ckpt.ema, ckpt.model_variables, lambda: ckpt.select(names[0]), ckpt.by_object_path):
        outcome(lambda view=view: list(view()))
    outcome(ckpt.to_nested)
    for one, other in ((ckpt, CKPT), (CKPT, ckpt)):
        match = ckptfmt.match(one, other)
        plan = outcome(match.propose)
        if not isinstance(plan, CkptfmtError):
            assert not isinstance(outcome(lambda one=one, plan=plan: list(one.apply(plan))), CkptfmtError)


def name_seeds() -> list[bytes]:
    return [
        b"dense/*\ndense/kernel\ndense/bias\nconv/w",
        b"ckpt-?\nckpt-1.index\nckpt-1.data-00000-of-00001\nckpt-1.meta\ncheckpoint",
        b"model-00000-of-00002\nmodel-00001-of-00002\nmodel.meta\nsaved_model.pb\nvariables/variables.index",
        "[!a]*[b-d]\nü/é\nlayer_with_weights-0/kernel\nx.tempstate123".encode(),
    ]


NAME_WORDS = rb"""
    * ** ? [ ] ! [! - \ / . .. .index .data-00000-of-00001 .meta -00000-of-00002 -?????-of-00002 checkpoint
    .tempstate1 saved_model.pb variables kernel _1 Adam ExponentialMovingAverage \xff
""".split()

TARGETS = {
    "state_file": Target(judge_state, state_seeds, words(b"\n", *STATE_WORDS)),
    "plan": Target(judge_plan, plan_seeds, words(b"\n", *PLAN_WORDS), count=2000),
    "slice": Target(
        judge_index,
        lambda: [b"0:4,:", b"...", b"[1,::2,-1]", b"-1:,None:2", b"+3", b"1:2:3,..."],
        words(
            b":", b",", b"...", b"-", b"+", b"[", b"]", b"0", b"1", b"2", b"99", b" ", b"9223372036854775807"
        ),
    ),
    "names": Target(judge_names, name_seeds, words(b"\n", b"\xff", *NAME_WORDS)),
}
