"""What the sdist and the wheel hold, and what the project's files say of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from typing import Any

import pytest

import ckptfmt
from tests.support.distributions import (
    ROOT,
    differences,
    project_files,
    sdist_members,
    wheel_members,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="tomli is not installed")

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def build(kind: str, source: Path, into: Path) -> Path:
    """Build an sdist or a wheel, as pip does but without a download."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(into)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [built] = into.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return built


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which virtual environments and a checkpoint were left."""
    pytest.importorskip("hatchling", reason="hatchling, the build backend, is not installed")
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("only git, in a checkout, says which files are the project's")
    files = project_files()
    root = tmp_path_factory.mktemp("checkout")
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    # Their links to the interpreter are absolute: an installer refuses an sdist that has them.
    for folder in ("venv", ".venv", "env-3.12", "tests/venv", "ckptfmt/venv"):
        venv.create(root / folder, symlinks=sys.platform != "win32")
    (root / "model.ckpt-1.index").write_bytes(b"not the project's")
    return root


@pytest.fixture(scope="module")
def distributions(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist of that checkout, and the wheel that is built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    sdist = build("sdist", checkout, folder)
    with tarfile.open(sdist) as archive:
        links = [member.name for member in archive if not (member.isfile() or member.isdir())]
        assert links == []
        # As installers do: the filter refuses links out of the archive. Python 3.14 applies it by default.
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return sdist, build("wheel", folder / sdist.name.removesuffix(".tar.gz"), folder)


def test_they_hold_the_projects_files_and_nothing_that_was_left_in_the_checkout(
    distributions: tuple[Path, Path],
) -> None:
    # A new file at the top belongs into the list "only-include" of pyproject.toml.
    assert differences(*distributions, project_files()) == []


def test_the_wheel_is_typed_and_has_the_compiled_schema(distributions: tuple[Path, Path]) -> None:
    members = wheel_members(distributions[1])
    assert {"ckptfmt/py.typed", "ckptfmt/__init__.pyi"} <= members
    assert {name.partition("/")[0] for name in members} == {"ckptfmt"}


def test_a_wheel_built_from_the_checkout_is_the_same(
    checkout: Path, distributions: tuple[Path, Path], tmp_path: Path
) -> None:
    assert wheel_members(build("wheel", checkout, tmp_path)) == wheel_members(distributions[1])


def test_the_sdist_can_run_its_tests_and_build_again(distributions: tuple[Path, Path]) -> None:
    members = sdist_members(distributions[0])
    assert {"tests/conftest.py", "noxfile.py", "pyproject.toml", "examples/digits/checkpoint"} <= members


# --- what they are described as ----------------------------------------------------------------------------


def test_one_version_is_everywhere() -> None:
    assert PROJECT["version"] == ckptfmt.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", changelog, re.MULTILINE)[1] == ckptfmt.__version__  # type: ignore[index]
    assert citation()["version"] == ckptfmt.__version__


def test_what_the_command_line_needs_is_no_extra() -> None:
    required = {re.split(r"[<>=!~;\[ ]", item)[0] for item in PROJECT["dependencies"]}
    assert "click" in required
    assert not required & {"rich", "tensorflow"}


def test_every_python_that_is_tested_is_a_classifier() -> None:
    tested = re.search(r"@nox\.session\(python=\[(.*?)\]\)\ndef tests", (ROOT / "noxfile.py").read_text())
    assert tested is not None
    for version in re.findall(r"[\d.]+", tested[1]):
        assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_classifiers_exist() -> None:
    known = pytest.importorskip("trove_classifiers", reason="trove-classifiers is not installed")
    assert [name for name in PROJECT["classifiers"] if name not in known.classifiers] == []


# --- CITATION.cff and the forms for issues -----------------------------------------------------------------


def citation() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    document: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return document


def test_the_citation_has_what_its_format_requires() -> None:
    # https://github.com/citation-file-format/citation-file-format, schema-guide.md
    document = citation()
    assert {"cff-version", "message", "title", "authors"} <= document.keys()
    assert document["cff-version"] == "1.2.0"
    assert all(
        isinstance(value, str) for name, value in document.items() if name not in ("authors", "keywords")
    )
    assert document["license"] == PROJECT["license"]
    assert [author["name"] for author in document["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]
    assert document["keywords"] == PROJECT["keywords"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_forms_for_issues_are_valid(path: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.name == "config.yml":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= form.keys()
    fields = [item for item in form["body"] if item["type"] != "markdown"]
    assert len({item["id"] for item in fields}) == len(fields) > 0
    for item in form["body"]:
        assert item["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        assert item["attributes"]["value" if item["type"] == "markdown" else "label"]


def test_there_is_a_form_for_bugs_and_one_for_features() -> None:
    assert {path.stem for path in FORMS} >= {"bug_report", "feature_request"}
    assert "ckptfmt verify" in (ROOT / ".github/ISSUE_TEMPLATE/bug_report.yml").read_text(encoding="utf-8")
