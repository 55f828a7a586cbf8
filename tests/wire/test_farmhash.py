"""FarmHash Fingerprint64 against published values, and against TensorFlow for every length."""

from __future__ import annotations

import random
import time
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.wire.farmhash import fingerprint64, fingerprint_cat64


# TensorFlow tsl/platform/fingerprint_test.cc, tests "IsForeverFrozen".
def test_values_that_tensorflow_promises_never_to_change() -> None:
    hello, world = fingerprint64(b"Hello"), fingerprint64(b"World")
    assert hello == 15404698994557526151
    assert world == 18308117990299812472
    assert fingerprint_cat64(hello, world) == 16877292868973613377


def test_no_bytes_have_the_constant_k2() -> None:
    assert fingerprint64(b"") == 0x9AE16A3B2F90404F


@given(st.binary(max_size=300), st.binary(max_size=3))
def test_a_view_has_the_hash_of_its_bytes(data: bytes, before: bytes) -> None:
    view = memoryview(before + data)[len(before) :]
    assert fingerprint64(view) == fingerprint64(data)


@pytest.mark.tensorflow
def test_all_lengths_have_tensorflows_hashes(tensorflow: ModuleType) -> None:
    rng = random.Random(7)
    data = [rng.randbytes(size) for size in range(301) for _ in range(4)]
    data += [rng.randbytes(size) for size in (1000, 4095, 4096, 4097, 65536, 1 << 20)]
    data += [bytes(size) for size in range(130)] + [b"\xff" * size for size in range(130)]
    assert [fingerprint64(each) for each in data] == _hashes_of(tensorflow, data)


@pytest.mark.tensorflow
@given(st.lists(st.binary(max_size=300), min_size=1))
def test_any_bytes_have_tensorflows_hash(tensorflow: ModuleType, data: list[bytes]) -> None:
    assert [fingerprint64(each) for each in data] == _hashes_of(tensorflow, data)


@pytest.mark.tensorflow
@given(st.binary(max_size=100), st.integers(1, 2**63 - 1))
def test_hash_buckets_are_tensorflows(tensorflow: ModuleType, text: bytes, buckets: int) -> None:
    got = tensorflow.strings.to_hash_bucket_fast([text], buckets).numpy().item()
    assert fingerprint64(text) % buckets == got


def test_a_hash_takes_a_time_proportional_to_its_bytes() -> None:
    start = time.perf_counter()
    fingerprint64(bytes(4 << 20))
    assert time.perf_counter() - start < 4  # a tenth of a second, usually


def _hashes_of(tensorflow: ModuleType, data: list[bytes]) -> list[int]:
    """Return what the op Fingerprint returns for each: the bytes of the hash, the lowest first."""
    rows = tensorflow.raw_ops.Fingerprint(data=tensorflow.constant(data), method="farmhash64").numpy()
    return [int.from_bytes(row.tobytes(), "little") for row in rows]
