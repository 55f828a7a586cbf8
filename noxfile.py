"""Sessions for maintainers: ``nox -s tests``, ``nox -s oldest``, ``nox -s lint`` and others."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.options.sessions = ["tests", "oldest", "newest", "lint"]
nox.options.error_on_missing_interpreters = False

PYPROJECT = nox.project.load_toml("pyproject.toml")
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]

# Without TensorFlow, so that a session takes a minute; the tests that need it report that they are skipped.
TOOLS = ("pytest", "hypothesis", "safetensors", "hatchling", "pyyaml")
TEST_TOOLS = [tool for tool in EXTRAS["test"] if tool.startswith(TOOLS)]

OLDEST = [
    requirement.replace(">=", "==", 1)
    for requirement in [*PROJECT["dependencies"], *EXTRAS["cli"], *EXTRAS["plans"]]
    if not requirement.startswith("ckptfmt")
]
"""The lower bounds of pyproject.toml."""

DIST = Path(__file__).parent / "dist"
EXAMPLE = Path(__file__).parent / "examples" / "digits"


@nox.session(python=["3.10", "3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the suite on each Python, with the newest dependencies."""
    session.install(".[cli]", *TEST_TOOLS)
    session.run("pytest", *session.posargs)


@nox.session(python=["3.10", "3.11"])
def oldest(session: nox.Session) -> None:
    """Run the suite with the oldest dependencies that pyproject.toml admits."""
    session.install(".[cli]", *OLDEST, *TEST_TOOLS)
    session.run("pytest", *session.posargs)


@nox.session(python="3.11")
@nox.parametrize("protobuf", ["4.25", "5.29", "6.31", "7.36"])
def protobuf(session: nox.Session, protobuf: str) -> None:
    """Run the suite with one release line of protobuf."""
    session.install(".[cli]", f"protobuf=={protobuf}.*", *TEST_TOOLS)
    session.run("pytest", *session.posargs)


@nox.session(python="3.11")
def newest(session: nox.Session) -> None:
    """Run the suite with the newest of everything, pre-releases included."""
    session.install("--pre", ".[cli]", *TEST_TOOLS)
    session.run("pytest", *session.posargs)


@nox.session
def notebook(session: nox.Session) -> None:
    """Run the examples of docs/notebooks.md in a kernel, and try IPython's completion."""
    group = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "notebook")
    session.install(".", *TEST_TOOLS, *group)
    session.run("pytest", "tests/notebook", *session.posargs)


@nox.session
def frameworks(session: nox.Session) -> None:
    """Run converted models in the frameworks that their weights go to."""
    group = nox.project.dependency_groups(PYPROJECT, "frameworks")
    session.install(".[test]", *group)
    session.run("pytest", "-m", "frameworks", *session.posargs)


@nox.session
def core(session: nox.Session) -> None:
    """Run the suite with no extra installed."""
    session.install(".", *TEST_TOOLS)
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    session.install(
        "-e", ".[cli]", *(tool for tool in EXTRAS["test"] if tool.startswith(("ruff", "mypy", "types-")))
    )
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site of the documentation into site/; a warning is an error."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "docs"))
    # Material asks for another program than the coming MkDocs 2; that is no warning about these pages.
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def protos(session: nox.Session) -> None:
    """Compile protos/ again: the descriptor set and the stubs."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "protos"))
    session.run("python", "protos/compile.py", *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """Build the sdist, and the wheel from it, into dist/; check both, and have each tried on its own."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "release"))
    shutil.rmtree(DIST, ignore_errors=True)  # twine is to upload what was checked, and nothing older
    session.run("python", "-m", "build", "--outdir", str(DIST))
    session.run("twine", "check", "--strict", *map(str, sorted(DIST.iterdir())))
    session.run("python", "-m", "tests.support.distributions", str(DIST))
    for kind in ("wheel", "sdist"):
        session.notify(f"released({kind})")


@nox.session
@nox.parametrize("pattern", ["*.whl", "*.tar.gz"], ids=["wheel", "sdist"])
def released(session: nox.Session, pattern: str) -> None:
    """Try what ``nox -s release`` has built, without extras and away from the checkout."""
    built = list(DIST.glob(pattern))
    if len(built) != 1:
        session.error(f"{DIST} holds {len(built)} files {pattern}: run nox -s release first")
    session.install(str(built[0]))
    session.chdir(session.create_tmp())
    for args in (["--version"], ["--help"], ["ls", str(EXAMPLE)], ["verify", str(EXAMPLE)]):
        session.run("ckptfmt", *args, silent=args == ["--help"])
    # With -I, Python imports nothing from the current directory or from PYTHONPATH.
    opened = f"import ckptfmt; print(ckptfmt.__file__, len(ckptfmt.open({str(EXAMPLE)!r}).read()), 'tensors')"
    session.run("python", "-I", "-W", "error", "-c", opened)


@nox.session(python="3.11")
def fuzz(session: nox.Session) -> None:
    """Run the fuzz targets, all together for the seconds given: ``nox -s fuzz -- 600``."""
    groups = nox.project.dependency_groups(PYPROJECT, "fuzz")
    session.install("-e", ".[test]", *groups)
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session(python="3.11")
def bench(session: nox.Session) -> None:
    """Run the benchmarks next to TensorFlow and safetensors."""
    session.install(".[test]")
    session.run("python", "-m", "benchmarks", *session.posargs)
