"""A path on another machine is answered in one sentence that says what to do instead."""

from __future__ import annotations

import pytest

from tests.support.journeys import Journey

URLS = [
    "gs://bucket/model.ckpt",
    "s3://bucket/model.ckpt",
    "https://host/model.ckpt",
    "hdfs://node/model.ckpt",
]

VERBS = ["", "ls", "show", "tree", "verify", "model", "graph", "events", "records", "info"]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("verb", VERBS)
def test_the_command_line(journey: Journey, verb: str, url: str) -> None:
    name = " name" if verb == "show" else ""
    result = journey.shell(f"ckptfmt {verb} {url}{name}", code=4)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert url in result.stderr
    assert journey.commands == 1


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("opener", ["open", "open_saved_model", "read_graph", "open_events", "open_records"])
def test_python(journey: Journey, opener: str, url: str) -> None:
    import ckptfmt

    with pytest.raises(ckptfmt.errors.CkptfmtError) as caught:
        journey.python(f"import ckptfmt\nckptfmt.{opener}({url!r})")
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)
