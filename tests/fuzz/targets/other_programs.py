"""Files of other programs whose tensors are read: NumPy's, PyTorch's and flax's."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np

import ckptfmt
from ckptfmt.converting.sources.open_tensors import open_file
from ckptfmt.errors import CkptfmtError
from tests.fuzz.mutate.plain import of_bytes, one_of, words
from tests.fuzz.target import Target, outcome
from tests.support.memory_filesystem import MemoryFilesystem


def read_all(format_: str, data: bytes) -> dict[str, np.ndarray | CkptfmtError] | CkptfmtError:
    """Read every tensor, whole and in part, of a file with views and of one without: all agree."""
    one, two = (read_of(format_, MemoryFilesystem({"/m": data}, has_views=views)) for views in (True, False))
    assert described(one) == described(two)
    return one


def read_of(format_: str, fs: MemoryFilesystem) -> dict[str, np.ndarray | CkptfmtError] | CkptfmtError:
    tensors = outcome(lambda: open_file(format_, "/m", fs, ckptfmt.Limits()))
    if isinstance(tensors, CkptfmtError):
        assert tensors.file == "/m", tensors
        return tensors
    return {name: read_one(tensors, name) for name in tensors}


def read_one(tensors: ckptfmt.Tensors, name: str) -> np.ndarray | CkptfmtError:
    array = outcome(lambda: tensors[name])
    if isinstance(array, CkptfmtError):
        assert array.file == "/m", array
        return array
    entry = tensors.entries[name]
    assert (array.shape, array.dtype) == (entry.shape, entry.dtype.numpy)
    if array.ndim and array.shape[0]:
        middle = array.shape[0] // 2
        assert described(tensors.slice(name)[middle:]) == described(array[middle:])
    return array


def described(answer: object) -> object:
    """Return what can be compared."""
    if isinstance(answer, dict):
        return {name: described(each) for name, each in answer.items()}
    if isinstance(answer, np.ndarray):
        return answer.shape, answer.tolist() if answer.dtype == object else answer.tobytes()
    return str(answer)


# --- NumPy


def judge_npy(data: bytes) -> None:
    """Read a single array, and compare with NumPy."""
    if not data.startswith(b"\x93NUMPY"):
        return
    read = read_all("npz", data)
    if isinstance(read, CkptfmtError):
        return
    (array,) = read.values()
    if isinstance(array, CkptfmtError) or array.dtype == object:
        return
    try:
        wanted = np.load(io.BytesIO(data), allow_pickle=False)
    except ValueError:
        return  # Python has other white space, and a shape without a comma is a number to it
    assert (array.shape, array.dtype) == (wanted.shape, wanted.dtype.newbyteorder("="))
    assert wanted.dtype == bool or array.tobytes() == wanted.astype(wanted.dtype.newbyteorder("=")).tobytes()


def npy_seeds() -> list[bytes]:
    arrays = (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.eye(3, dtype=">i2")), np.array(["a", "bc"]))
    seeds = []
    for array in arrays:
        stream = io.BytesIO()
        np.save(stream, array)
        seeds.append(stream.getvalue())
    return seeds


HEADER = words(
    *rb""" ' " { } [ ] ( ) , : 'descr' 'shape' 'fortran_order' '<f4' '|O' '|V2' '<U1' '>i8' True False
    0 1 2L -1 99999999999999999999 __import__ """.split()
)


def judge_npz(data: bytes) -> None:
    """Read an archive of arrays."""
    read_all("npz", data)


def npz_seeds() -> list[bytes]:
    seeds = []
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, a=np.arange(20), b=np.array(["x", "yz"]), **{"c/d": np.zeros((0, 2))})
        seeds.append(stream.getvalue())
    return seeds


# --- PyTorch

TENSOR = (
    b"\x80\x02}(X\x01\0\0\0wq\0ctorch._utils\n_rebuild_tensor_v2\nq\x01((X\x07\0\0\0storagectorch\nFloatStorage\n"
    b"X\x01\0\0\x000X\x03\0\0\0cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtR"
    b"X\x01\0\0\0vctorch._utils\n_rebuild_tensor_v3\n((X\x07\0\0\0storagectorch.storage\nUntypedStorage\n"
    b"X\x01\0\0\x000X\x03\0\0\0cpuK\x18tQK\x01K\x03\x85K\x02\x85\x89}ctorch\nuint16\ntRu."
)


def judge_torch(data: bytes) -> None:
    """Read the tensors that a pickle describes, in an archive with one storage."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        target.writestr("archive/data.pkl", data)
        target.writestr("archive/data/0", bytes(range(24)))
    read_all("torch", stream.getvalue())


PICKLE = words(
    *(b"(", b"}", b"]", b")", b"t", b"u", b"s", b"a", b"e", b"R", b"Q", b"b", b".", b"K\x01", b"h\0", b"q\0"),
    *(b"ctorch\nSize\n", b"ccollections\nOrderedDict\n", b"cos\nsystem\n", b"\x86", b"\x85", b"N", b"\x88"),
    *(b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", b"J\xff\xff\xff\xff", b"\x94", b"\x93", b"\x8c\x01a"),
)

# --- flax


def judge_msgpack(data: bytes) -> None:
    """Read a file of flax."""
    read_all("msgpack", data)


def msgpack_seeds() -> list[bytes]:
    def array(shape: bytes, dtype: bytes, data: bytes) -> bytes:
        content = b"\x93" + shape + bytes([0xA0 | len(dtype)]) + dtype + b"\xc4" + bytes([len(data)]) + data
        return b"\xc7" + struct.pack(">Bb", len(content), 1) + content

    floats = array(b"\x92\x02\x03", b"float32", bytes(24))
    chunks = b"\x82\xa10" + array(b"\x91\x02", b"int8", b"ab") + b"\xa11" + array(b"\x91\x01", b"int8", b"c")
    chunked = b"\x83\xb9__msgpack_chunked_array__\xc3\xa5shape\x81\xa10\x03\xa6chunks" + chunks
    return [
        b"\x81\xa6params\x82\xa1w" + floats + b"\xa4step\x07",
        b"\x83\xa1a" + chunked + b"\xa1b\xcb\x3f\xf8\0\0\0\0\0\0\xa1c\xc0",
        b"\x82\xa1l\x92\x01\xa2hi\xa1z\xd8\x02\x92\xca\0\0\0\0\xca\0\0\0\0\xc0\xc0\xc0\xc0\xc0",
    ]


TARGETS = {
    "npy": Target(judge_npy, npy_seeds, one_of(HEADER, of_bytes), count=150),
    "npz": Target(judge_npz, npz_seeds, of_bytes, count=150),
    "torch": Target(judge_torch, lambda: [TENSOR], one_of(PICKLE, of_bytes), count=150),
    "msgpack": Target(judge_msgpack, msgpack_seeds, of_bytes, count=200),
}
