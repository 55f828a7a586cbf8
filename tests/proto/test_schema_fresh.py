"""The compiled files are those that the sources in ``protos/`` compile to."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import ckptfmt.proto

PROTO = Path(ckptfmt.proto.__file__).parent
COMPILER = Path(__file__).parents[2] / "protos" / "compile.py"

pytestmark = pytest.mark.skipif(not COMPILER.exists(), reason="tested without a source tree")


@pytest.fixture(scope="module")
def compiler() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compile_protos", COMPILER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_files_are_compiled_from_these_sources(compiler: ModuleType) -> None:
    descriptors = (PROTO / compiler.DESCRIPTORS).read_bytes()
    for stub in compiler.STUBS.values():
        text = (PROTO / stub).read_text("utf-8")
        advice = f'{stub} is stale: run "python protos/compile.py"'
        assert f"# sources: sha256 {compiler.sources_digest()}\n" in text, advice
        assert f"# descriptors.binpb: sha256 {hashlib.sha256(descriptors).hexdigest()}\n" in text, advice


def test_stubs_match_the_descriptor_set(compiler: ModuleType) -> None:
    descriptors = (PROTO / compiler.DESCRIPTORS).read_bytes()
    for path, content in compiler.generate(descriptors).items():
        assert (PROTO / path.name).read_bytes() == content, f"{path.name} is stale"


def test_every_source_is_compiled(compiler: ModuleType) -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    files = FileDescriptorSet.FromString((PROTO / compiler.DESCRIPTORS).read_bytes()).file
    ours = {file.name for file in files if not file.name.startswith("google/")}
    assert ours == set(compiler.source_files())
    assert {file.package for file in files} == {*compiler.STUBS, "google.protobuf"}


def test_compiling_again_changes_nothing() -> None:
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("grpcio-tools is not installed")
    done = subprocess.run(
        [sys.executable, COMPILER, "--check"], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
