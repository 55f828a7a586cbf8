"""A path on another machine is answered in one sentence that says what to do instead."""

from __future__ import annotations

import pytest

import ckptfmt
from tests.support.journeys import Journey

URLS = [
    "gs://bucket/model.ckpt",
    "s3://bucket/model.ckpt",
    "https://host/model.ckpt",
    "hdfs://node/model.ckpt",
]

LINES = [
    *("ckptfmt URL", "ckptfmt ls URL", "ckptfmt show URL dense/kernel", "ckptfmt tree URL"),
    *("ckptfmt verify URL", "ckptfmt match URL URL", "ckptfmt plan URL plan.toml", "ckptfmt model URL"),
    *("ckptfmt graph URL", "ckptfmt freeze URL -o frozen.pb", "ckptfmt subgraph URL -o part.pb --outputs y"),
    *("ckptfmt events URL", "ckptfmt records URL"),
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("line", LINES)
def test_the_command_line(journey: Journey, line: str, url: str) -> None:
    (journey.folder / "plan.toml").write_text("version = 1\n")
    result = journey.shell(line.replace("URL", url), code=4)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert url in result.stderr
    assert journey.commands == 1


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("opener", ["open", "open_saved_model", "read_graph", "open_events", "open_records"])
def test_python(journey: Journey, opener: str, url: str) -> None:
    with pytest.raises(ckptfmt.errors.CkptfmtError) as caught:
        journey.python(f"import ckptfmt\nckptfmt.{opener}({url!r})")
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)
