"""Sessions for maintainers: ``nox -s tests``, ``nox -s oldest``, ``nox -s lint`` and others."""

from __future__ import annotations

import nox

nox.options.sessions = ["tests", "oldest", "newest", "lint"]
nox.options.error_on_missing_interpreters = False

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
EXTRAS = PROJECT["optional-dependencies"]

# Without TensorFlow, so that a session takes a minute; the tests that need it report that they are skipped.
TEST_TOOLS = [tool for tool in EXTRAS["test"] if tool.startswith(("pytest", "hypothesis", "safetensors"))]

OLDEST = [
    requirement.replace(">=", "==", 1)
    for requirement in [*PROJECT["dependencies"], *EXTRAS["cli"], *EXTRAS["plans"]]
    if not requirement.startswith("ckptfmt")
]
"""The lower bounds of pyproject.toml."""


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
def core(session: nox.Session) -> None:
    """Run the tests that need no extra, with none installed."""
    session.install(".", *TEST_TOOLS)
    session.run("pytest", "--ignore=tests/cli", *session.posargs)


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
def protos(session: nox.Session) -> None:
    """Compile protos/ again: the descriptor set and the stubs."""
    session.install(*nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "protos"))
    session.run("python", "protos/compile.py", *session.posargs)


@nox.session(python="3.11")
def fuzz(session: nox.Session) -> None:
    """Run the fuzz targets, all together for the seconds given: ``nox -s fuzz -- 600``."""
    groups = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "fuzz")
    session.install("-e", ".[test]", *groups)
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session(python="3.11")
def bench(session: nox.Session) -> None:
    """Run the benchmarks next to TensorFlow and safetensors."""
    session.install(".[test]")
    session.run("python", "-m", "benchmarks", *session.posargs)
