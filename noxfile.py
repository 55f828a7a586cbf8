"""What maintainers run: ``nox -s tests``, ``nox -s oldest``, ``nox -s lint``, ``nox -s protos`` and so on."""

from __future__ import annotations

import nox

nox.options.sessions = ["tests", "oldest", "newest", "lint"]
nox.options.error_on_missing_interpreters = False

# Without TensorFlow, so that every session is a minute; its tests say that they are skipped.
TEST_TOOLS = ("pytest>=8", "hypothesis>=6.100")

OLDEST = (
    *("numpy==1.23.2", "protobuf==4.25.0", "crc32c==2.7", "ml_dtypes==0.5.0", "cramjam==2.8.0"),
    *("click==8.1.0", "rich==13.0.0", "safetensors==0.4.0"),
    "tomli==2.0.0; python_version < '3.11'",
)
"""The lower bounds of pyproject.toml."""


@nox.session(python=["3.10", "3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the suite on each Python, with the newest dependencies."""
    session.install(".[cli,safetensors]", *TEST_TOOLS)
    session.run("pytest", *session.posargs)


@nox.session(python=["3.10", "3.11"])
def oldest(session: nox.Session) -> None:
    """Run the suite with the oldest dependencies that pyproject.toml admits."""
    session.install(".[cli,safetensors]", *OLDEST, *TEST_TOOLS)
    session.run("pytest", *session.posargs)


@nox.session(python="3.11")
@nox.parametrize("protobuf", ["4.25", "5.29", "6.31", "7.36"])
def protobuf(session: nox.Session, protobuf: str) -> None:
    """Run the suite on one release line of protobuf."""
    session.install(".[cli,safetensors]", f"protobuf=={protobuf}.*", *TEST_TOOLS)
    session.run("pytest", *session.posargs)


@nox.session(python="3.11")
def newest(session: nox.Session) -> None:
    """Run the suite with the newest of everything, pre-releases included."""
    session.install("--pre", ".[cli,safetensors]", *TEST_TOOLS)
    session.run("pytest", *session.posargs)


@nox.session
def core(session: nox.Session) -> None:
    """Run what needs no extra, with no extra installed."""
    session.install(".", "pytest>=8", "hypothesis>=6.100")
    session.run("pytest", "--ignore=tests/cli", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    session.install("-e", ".[cli]", "ruff>=0.8", "mypy>=1.13", "types-protobuf")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def protos(session: nox.Session) -> None:
    """Compile protos/ anew: the descriptor set and the stubs."""
    session.install(*nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "protos"))
    session.run("python", "protos/compile.py", *session.posargs)


@nox.session(python="3.11")
def bench(session: nox.Session) -> None:
    """Run the benchmarks beside TensorFlow and safetensors."""
    session.install(".[test]")
    session.run("python", "-m", "benchmarks", *session.posargs)
