"""A file, or several, of every kind in the table that is not TensorFlow's own.

A library that owns a format writes its file if it is installed (h5py, keras, pyarrow, NumPy, sqlite3 …).
Other files are a few bytes from the format's public description, which the comment beside them names.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from ckptfmt.proto import messages

Content: TypeAlias = bytes | str | Callable[[Path], Any] | Mapping[str, bytes | str]
"""Bytes, text, what writes the file at a path, or the files of a directory."""


def make(content: Content, path: Path) -> Path:
    """Make a file or a directory."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_bytes(content.encode())
    elif isinstance(content, Mapping):
        path.mkdir()
        for name, data in content.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            make(data, path / name)
    else:
        content(path)
    return path


# --- encodings ----------------------------------------------------------------------------------------------


def field(number: int, value: int | bytes | str) -> bytes:
    """A field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value & (1 << 64) - 1)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def msgpack(value: Any) -> bytes:
    """A value in MessagePack, arrays as Flax packs them: extension 1 with shape, dtype and bytes."""
    if isinstance(value, dict):
        size = len(value)
        head = bytes([0x80 | size]) if size < 16 else b"\xde" + size.to_bytes(2, "big")
        return head + b"".join(msgpack(key) + msgpack(each) for key, each in value.items())
    if isinstance(value, (tuple, list)):
        return bytes([0x90 | len(value)]) + b"".join(map(msgpack, value))
    if isinstance(value, str):
        data = value.encode()
        return (bytes([0xA0 | len(data)]) if len(data) < 32 else bytes([0xD9, len(data)])) + data
    if isinstance(value, bytes):
        return b"\xc5" + len(value).to_bytes(2, "big") + value
    if isinstance(value, np.ndarray):
        inner = msgpack((value.shape, value.dtype.name, value.tobytes()))
        return b"\xc8" + len(inner).to_bytes(2, "big") + b"\x01" + inner
    assert 0 <= value < 1 << 16
    return bytes([value]) if value < 128 else b"\xcd" + value.to_bytes(2, "big")


def zipped(*names: str, content: bytes = b"x") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return out.getvalue()


def tarred(*names: str, mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 700
            archive.addfile(info, io.BytesIO(b"x" * 700))
    return out.getvalue()


def flatbuffer(identifier: bytes) -> bytes:
    return b"\x1c\0\0\0" + identifier + bytes(40)


# --- files that libraries write -----------------------------------------------------------------------------


def with_h5py(write: Callable[[Any], object], **options: Any) -> Callable[[Path], None]:
    def write_file(path: Path) -> None:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w", **options) as file:
            write(file)

    return write_file


def keras_model_h5(file: Any) -> None:
    # What keras.saving.legacy.hdf5_format writes: the configuration as an attribute of the root.
    file.attrs["keras_version"] = "2.15.0"
    file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {}})
    file.create_group("model_weights").attrs["layer_names"] = np.array([b"dense"])


def keras_weights_h5(file: Any) -> None:
    file.attrs["layer_names"] = np.array([b"dense"])
    file.create_group("dense").attrs["weight_names"] = np.array([b"dense/kernel:0"])
    file["dense"]["kernel:0"] = np.zeros(2)


def plain_h5(file: Any) -> None:
    file["x"] = np.zeros(3)


def keras_3(suffix: str) -> Callable[[Path], None]:
    def write_file(path: Path) -> None:
        keras = pytest.importorskip("keras")
        target = path.with_name("written" + suffix)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras's own
            model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
            model.save_weights(target) if suffix == ".weights.h5" else model.save(target)
        target.replace(path)

    return write_file


def npy(path: Path) -> None:
    np.save(path, np.zeros(3))


def npz(path: Path) -> None:
    np.savez(path, a=np.zeros(3), b=np.ones(2))


def arrow_table() -> Any:
    return pytest.importorskip("pyarrow").table({"x": [1, 2, 3]})


def parquet(path: Path) -> None:
    table = arrow_table()
    pytest.importorskip("pyarrow.parquet").write_table(table, path)


def feather(path: Path) -> None:
    table = arrow_table()
    pytest.importorskip("pyarrow.feather").write_feather(table, str(path))


def orc(path: Path) -> None:
    table = arrow_table()
    pytest.importorskip("pyarrow.orc").write_table(table, str(path))


def zstandard(path: Path) -> None:
    codec = pytest.importorskip("pyarrow").Codec("zstd")
    path.write_bytes(codec.compress(b"graph" * 10, asbytes=True))


def lz4(path: Path) -> None:
    codec = pytest.importorskip("pyarrow").Codec("lz4")
    path.write_bytes(codec.compress(b"graph" * 10, asbytes=True))


def wave_file(path: Path) -> None:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(100))


def sqlite(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("create table t (x)")
    connection.commit()
    connection.close()


def picture(kind: str) -> Callable[[Path], None]:
    def write_file(path: Path) -> None:
        pytest.importorskip("PIL.Image").new("RGB", (2, 2)).save(path, kind)

    return write_file


def op_list() -> bytes:
    # tensorflow/core/framework/op_def.proto: op 1; name 1, input_arg 2, output_arg 3, attr 4.
    argument = field(1, "x") + field(4, "T")
    op = (
        field(1, "Abs") + field(2, argument) + field(3, argument) + field(4, field(1, "T") + field(2, "type"))
    )
    return field(1, op) * 2


def plane(name: str, number: int) -> bytes:
    # tsl/profiler/protobuf/xplane.proto: planes 1; id 1, name 2, lines 3, event_metadata 4.
    line = field(1, 1) + field(2, "python") + field(3, 1700000000) + field(4, field(1, 5) + field(3, 12))
    return field(1, (field(1, number) if number else b"") + field(2, name) + field(3, line))


NODE = {"name": "x", "op": "Placeholder"}
DATASET = field(2, "12046729416970907911") + field(3, 1234567) + field(4, 2) + field(5, b"\t") + field(6, 5)
FLOAT_ZERO = b"\x15" + bytes(4)
HLO = (
    field(1, "jit_f")
    + field(2, "main.3")
    + field(3, field(1, "main.3") + field(2, field(1, "arg.1") + field(2, "parameter")) + field(5, 3))
    + field(5, 1)
)
KERAS_CONFIG = {
    "class_name": "Sequential",
    "config": {"layers": []},
    "keras_version": "2.9.0",
    "backend": "tensorflow",
}
LAYERS = {
    "modelTopology": {"keras_version": "2.9.0", "model_config": KERAS_CONFIG},
    "weightsManifest": [{"paths": []}],
}
GRAPH_NODES = {"node": [{"name": "x", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"}}}]}
FLAX = {"step": 1000, "params": {"kernel": np.zeros((2, 3), np.float32)}, "opt_state": {"0": {}}}
T5X = {
    "version": 3,
    "optimizer": {"target": {"token_embedder": "PLACEHOLDER://target.x"}, "state": {"step": 1}},
}

# --- the files of each kind ---------------------------------------------------------------------------------

FILES: dict[str, dict[str, Content]] = {
    # JAX. Orbax: checkpoint/_src/handlers and OCDBT in tensorstore's documentation.
    "an Orbax checkpoint of JAX": {
        "orbax": {
            "_METADATA": "{}",
            "_CHECKPOINT_METADATA": "{}",
            "manifest.ocdbt": b"\x0c\xdb\x3a\x2a",
            "d/1": b"x",
        },
        "orbax_items": {
            "_CHECKPOINT_METADATA": "{}",
            "params/_METADATA": "{}",
            "params/manifest.ocdbt": b"\x0c",
        },
        "orbax_msgpack": {"checkpoint": msgpack(FLAX), "_CHECKPOINT_METADATA": "{}"},
        "_METADATA": json.dumps({"tree_metadata": {"('params',)": {}}, "use_zarr3": False}),
        "_CHECKPOINT_METADATA": json.dumps({"item_handlers": "x", "metrics": {}, "init_timestamp_nsecs": 1}),
        "manifest.ocdbt": b"\x0c\xdb\x3a\x2a" + bytes(20),
    },
    "a T5X checkpoint of JAX": {
        "checkpoint_1000": {
            "checkpoint": msgpack(T5X),
            "target.token_embedder.embedding/.zarray": '{"zarr_format": 2}',
        },
        "checkpoint_2000": {"checkpoint": msgpack(T5X), "state.step/.zarray": "{}"},
    },
    "a Flax checkpoint (msgpack)": {
        "checkpoint_5": msgpack(FLAX),
        "checkpoint": msgpack(FLAX),
        "checkpoint_10": msgpack(T5X),
        "dir": {"checkpoint": msgpack(FLAX)},
        "flax_model.msgpack": msgpack({"params": {"w": np.zeros(5000, np.float32)}, "z": 1}),
        "many": msgpack({**{f"layer{i}": {"w": i} for i in range(20)}, "batch_stats": {}}),
        "hub": {"flax_model.msgpack": msgpack(FLAX), "README.md": "#"},
    },
    "a MessagePack file, as Flax writes checkpoints": {
        "a.msgpack": msgpack({"encoder": {"w": np.zeros(3)}, "decoder": [1, 2, "x", b"y"]}),
    },
    "a zarr array or group": {
        "a.zarr": {".zgroup": '{"zarr_format": 2}', "x/.zarray": "{}"},
        "b.zarr": {"zarr.json": '{"zarr_format": 3, "node_type": "group"}'},
        ".zarray": json.dumps({"chunks": [1], "compressor": None, "dtype": "<f4", "zarr_format": 2}),
        "w.zarr.zip": zipped("zarr.json", "w/zarr.json", "w/c/0"),
        "top.zip": zipped("w.zarr/.zgroup", "w.zarr/x/.zarray"),
    },
    "a Kerchunk reference file for zarr": {
        "refs.json": json.dumps({"version": 1, "refs": {".zgroup": '{"zarr_format":2}', "w/0": ["m", 0, 4]}}),
    },
    "a Keras model in HDF5 (.h5)": {"model.h5": with_h5py(keras_model_h5)},
    "weights of a Keras model in HDF5 (.h5)": {
        "weights.h5": with_h5py(keras_weights_h5),
        "model.weights.h5": keras_3(".weights.h5"),
    },
    "an HDF5 file, as Keras writes": {
        "data.h5": with_h5py(plain_h5),
        "user_block.h5": with_h5py(plain_h5, userblock_size=512),
    },
    "a Keras model (.keras)": {
        "model.keras": keras_3(".keras"),
        "archive.keras": zipped("metadata.json", "config.json", "model.weights.h5"),
    },
    "the architecture of a Keras model in JSON": {"model.json": json.dumps(KERAS_CONFIG)},
    # PyTorch: torch/serialization.py.
    "a TorchScript model of PyTorch": {
        "model.pt": zipped(
            "model/data.pkl", "model/code/__torch__.py", "model/constants.pkl", "model/version"
        ),
    },
    "an ExecuTorch or TorchExport program": {
        "model.pt2": zipped("serialized_exported_program.json", "version")
    },
    "a program of ExecuTorch (.pte)": {"a.pte": flatbuffer(b"ET12")},
    "a PyTorch file": {
        "model.pt": zipped("archive/data.pkl", "archive/data/0", "archive/version"),
        "pytorch_model.bin": zipped("pytorch_model/data.pkl", "pytorch_model/data/0"),
    },
    "a PyTorch file from before 1.6": {
        "model.pth": b"".join(
            pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
        ),
    },
    "a distributed checkpoint of PyTorch": {
        "dcp": {".metadata": pickle.dumps({}), "__0_0.distcp": zipped("a/data.pkl")}
    },
    "a parameter file of PaddlePaddle (.pdparams, .pdopt)": {
        # paddle.save pickles a dictionary of arrays, with the names of the parameters in one more entry.
        "model.pdparams": pickle.dumps(
            {"w": np.zeros(3), "StructuredToParameterName@@": {"w": "linear_0.w_0"}}, protocol=2
        ),
        "model.pdopt": pickle.dumps({"LR_Scheduler": {"last_epoch": 1}}, protocol=4),
    },
    "a Python pickle of joblib": {
        # joblib/numpy_pickle.py: arrays are instances of this class, followed by their bytes.
        "model.joblib": b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x13joblib.numpy_pickle\x94",
    },
    "a Python pickle, perhaps of PyTorch": {
        "a.pkl": pickle.dumps({"w": [1.0]}, 4),
        "old.pkl": pickle.dumps([1, 2], 2),
        "protocol_0.pkl": pickle.dumps({"w": np.zeros(2)}, 0),
        "protocol_1.pkl": pickle.dumps({"w": [1.0, 2.0]}, 1),
        "list.pkl": pickle.dumps([1, "x"], 0),
    },
    "a Hugging Face model": {
        "bert": {"config.json": '{"model_type": "bert"}', "pytorch_model.bin": zipped("archive/data.pkl")},
        "llama": {"config.json": "{}", "model-00001-of-00002.safetensors": b"", "tokenizer.json": "{}"},
        "tf": {"config.json": "{}", "tf_model.h5": b"\x89HDF\r\n\x1a\n"},
        "lora": {"adapter_config.json": "{}", "adapter_model.safetensors": b""},
        "diffusion": {"model_index.json": "{}", "unet/config.json": "{}"},
    },
    "a configuration of Hugging Face": {
        "config.json": json.dumps({"architectures": ["BertModel"], "model_type": "bert"}),
        "generation_config.json": json.dumps({"eos_token_id": 2, "transformers_version": "4.40"}),
    },
    "the index of a sharded Hugging Face model": {
        "model.safetensors.index.json": json.dumps({"metadata": {"total_size": 1}, "weight_map": {"w": "a"}}),
    },
    "a tokenizer of Hugging Face": {
        "tokenizer.json": json.dumps({"version": "1.0", "added_tokens": [], "model": {"type": "BPE"}}),
        "tokenizer_config.json": json.dumps({"do_lower_case": True, "tokenizer_class": "BertTokenizer"}),
    },
    # sentencepiece_model.proto: pieces 1, trainer_spec 2; piece 1, score 2 as a float, type 3.
    "a model of SentencePiece (.model)": {
        "spiece.model": field(1, field(1, "<unk>") + FLOAT_ZERO + field(3, 2))
        + field(1, field(1, "\u2581the") + FLOAT_ZERO)
        + field(2, field(1, "corpus.txt")),
    },
    # xla/service/hlo.proto: HloProto, HloModuleProto, HloComputationProto, HloInstructionProto.
    "a program of XLA (HLO)": {
        "module.pb": HLO,
        "module.hlo.pb": field(1, HLO),
        "module.txt": "HloModule jit_f, entry_computation_layout={()->f32[]}\n\nENTRY %main {\n}\n",
    },
    "a program in MLIR": {
        "a.mlir": "module attributes {tf.versions = {producer = 1}} {\n}\n",
        "b.mlir": "// A comment\nmodule {\n}\n",
        "a.mlirbc": b"ML\xefR\x0dMLIR18\0" + bytes(30),
    },
    "weights of a TensorFlow.js model (.bin), judging by its name": {
        "group1-shard1of1.bin": struct.pack("<3f", 1, 2, 3),
        "group1-shard2of2": struct.pack("<3f", 1, 2, 3),
    },
    # github.com/ggml-org/ggml, docs/gguf.md; the older magic numbers are those of llama.cpp of 2023.
    "a GGUF file": {"m.gguf": b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(40)},
    "a GGML file, from before GGUF": {
        "m.bin": struct.pack("<I", 0x67676D6C) + bytes(40),
        "j.bin": struct.pack("<I", 0x67676A74) + bytes(40),
    },
    "a TensorFlow Lite model": {"m.tflite": flatbuffer(b"TFL3")},
    "an ONNX model": {
        # onnx.proto: ir_version 1, producer_name 2, graph 7, opset_import 8.
        "m.onnx": field(1, 8)
        + field(2, "pytorch")
        + field(3, "2.1")
        + field(7, field(2, "main"))
        + field(8, field(2, 17)),
        "tf2onnx.onnx": field(1, 7)
        + field(2, "tf2onnx")
        + field(7, field(1, field(1, "x") + field(4, "Relu"))),
    },
    "a MindSpore checkpoint (.ckpt)": {
        # mindspore/ccsrc/utils/checkpoint.proto: value 1; tag 1, tensor 2; dims 1, type 2, content 3.
        "lenet.ckpt": b"".join(
            field(
                1,
                field(1, name)
                + field(2, b"".join(field(1, dim) for dim in (2, 2)) + field(2, kind) + field(3, bytes(16))),
            )
            for name, kind in (("conv1.weight", "Float32"), ("step", "Int32"))
        ),
        "scalar.ckpt": field(1, field(1, "epoch") + field(2, field(2, "Int64") + field(3, bytes(8)))),
    },
    "a program of PaddlePaddle (.pdmodel, __model__)": {
        # framework.proto: blocks 1; idx 1, parent_idx 2, vars 3, ops 4; version 4.
        "inference.pdmodel": field(
            1,
            field(1, 0)
            + field(2, -1)
            + field(3, field(1, "feed") + field(2, field(1, 9)))
            + field(4, field(3, "feed")),
        )
        + field(4, field(1, 0)),
        "inference.json": json.dumps(
            {"base_code": {"magic": "pir", "trainable": True, "version": 1}, "program": {}}
        ),
        "paddle": {"inference.pdmodel": b"\x0a", "inference.pdiparams": b"\0"},
        "paddle_fluid": {"__model__": b"\x0a", "model.pdiparams": b"\0"},
    },
    "parameters of PaddlePaddle (.pdiparams)": {
        # lod_tensor.cc and tensor_util.cc: version, levels, version, size of a TensorDesc, and that.
        "inference.pdiparams": struct.pack("<IQIi", 0, 0, 0, 6) + b"\x08\x05\x10\x02\x10\x03" + bytes(24),
    },
    "arrays of MXNet (.params)": {
        "net-0000.params": struct.pack("<QQQ", 0x112, 0, 1) + b"\xc9\xfa\x93\xf9" + bytes(60)
    },
    "a network of MXNet (-symbol.json)": {
        "net-symbol.json": json.dumps(
            {"nodes": [{"op": "null", "name": "data", "inputs": []}], "arg_nodes": [0], "heads": []}
        ),
        "indented-symbol.json": json.dumps(
            {
                "nodes": [{"op": "null", "name": f"data{i}", "inputs": []} for i in range(200)],
                "arg_nodes": [0],
            },
            indent=2,
        ),
        "mxnet": {"net-symbol.json": "{}", "net-0000.params": b""},
    },
    "a Core ML model": {
        # Model.proto of coremltools: specificationVersion 1, description 2, neuralNetwork 500.
        "m.mlmodel": field(1, 4)
        + field(2, field(1, field(1, "x") + field(3, b"")) + field(10, field(1, "y")))
        + field(500, b""),
        "ios11.mlmodel": field(1, 1) + field(2, field(1, field(1, "x"))) + field(302, b"\x08\x01"),
        "cut.mlmodel": bytes.fromhex("0804124e0a190a0b64656e73655f696e7075741a0a2a080a02010110c080045213")
        + bytes(64),
        "m.mlpackage": {
            "Manifest.json": '{"fileFormatVersion": "1.0.0"}',
            "Data/com.apple.CoreML/model.mlmodel": b"x",
        },
        "m.mlmodelc": {"coremldata.bin": b"x", "model.mil": "program(1.0)"},
        "m.mlpackage.zip": zipped(
            "m.mlpackage/Manifest.json", "m.mlpackage/Data/com.apple.CoreML/model.mlmodel"
        ),
    },
    "an engine of TensorRT": {"m.engine": b"ftrt" + bytes(40), "m.plan": b"ptrt" + bytes(40)},
    "a model of OpenVINO (IR)": {
        "m.xml": '<?xml version="1.0"?>\n<net name="m" version="11">\n\t<layers>\n\t</layers>\n</net>\n',
        "bare.xml": '<net name="m" version="10"><layers/></net>',
    },
    "a TensorFlow.js graph model": {
        "model.json": json.dumps(
            {"format": "graph-model", "modelTopology": GRAPH_NODES, "weightsManifest": []}
        ),
        "old.json": json.dumps({"modelTopology": GRAPH_NODES, "weightsManifest": []}),
    },
    "a TensorFlow.js layers model": {
        "model.json": json.dumps({"format": "layers-model", **LAYERS}),
        "old.json": json.dumps(LAYERS),
        "keras.json": json.dumps({"modelTopology": KERAS_CONFIG}),
    },
    "a TensorFlow.js model": {
        "weights_manifest.json": json.dumps(
            [{"paths": ["group1-shard1of1"], "weights": [{"name": "w", "shape": [1]}]}]
        ),
        "model.json": json.dumps({"weightsManifest": [{"paths": []}]}),
        "tfjs": {"model.json": json.dumps(LAYERS), "group1-shard1of1.bin": b"x"},
        "tfjs_old": {"tensorflowjs_model.pb": b"x", "weights_manifest.json": "[]", "group1-shard1of1": b"x"},
    },
    # caffe.proto: NetParameter, LayerParameter, V1LayerParameter.
    "a network of Caffe as text (prototxt)": {
        "lenet.prototxt": 'name: "LeNet"\nlayer {\n  name: "data"\n  type: "Input"\n  top: "data"\n}\n',
        "old.prototxt": '# V1\nname: "C"\nlayers { bottom: "x" name: "c" type: CONVOLUTION }\n',
        "solver.prototxt": 'net: "train.prototxt"\nbase_lr: 0.01\nlr_policy: "step"\nmax_iter: 100\n',
    },
    "weights of a Caffe network (.caffemodel)": {
        "lenet.caffemodel": field(1, "LeNet")
        + field(
            100,
            field(1, "conv1")
            + field(2, "Convolution")
            + field(3, "data")
            + field(4, "conv1")
            + b"\x2d\0\0\x80\x3f",
        ),
        "old.caffemodel": field(1, "CaffeNet")
        + field(2, field(2, "data") + field(3, "c") + field(4, "c") + field(5, 4)),
    },
    "a network of Caffe2": {
        # caffe2.proto: NetDef with name 1, op 2; OperatorDef with input 1, output 2, name 3, type 4, arg 5.
        "init_net.pb": field(1, "init")
        + field(2, field(2, "w") + field(4, "GivenTensorFill") + field(5, field(1, "shape"))),
        "predict_net.pb": field(2, field(1, "data") + field(1, "w") + field(2, "y") + field(4, "Conv"))
        + field(7, "data"),
        "predict_net.pbtxt": 'name: "net"\nop {\n  input: "data"\n  output: "y"\n  type: "Conv"\n}\n',
    },
    "a network of NCNN": {
        "m.param": "7767517\n3 3\nInput data 0 1 data 0=4 1=4 2=1\n",
        "m.param.bin": struct.pack("<III", 7767517, 3, 3) + bytes(40),
    },
    "a network of Darknet (.cfg)": {
        "yolo.cfg": "[net]\nbatch=1\nwidth=416\n",
        "tiny.cfg": "# tiny\n[network]\nbatch=1\n",
    },
    "weights of a Darknet network (.weights)": {
        # parser.c: major, minor, revision as int32; seen as size_t, or int32 before version 0.2.
        "yolo.weights": struct.pack("<iiiQ", 0, 2, 5, 32013312) + struct.pack("<40f", *[0.5] * 40),
        "tiny.weights": struct.pack("<iiii", 0, 1, 0, 0) + struct.pack("<40f", *[0.5] * 40),
    },
    "a graph of MediaPipe as text": {
        "hands.pbtxt": 'input_stream: "image"\nnode {\n  calculator: "FlowLimiterCalculator"\n}\n',
        "nodes.pbtxt": 'node {\n  calculator: "A"\n  input_stream: "x"\n}\n',
    },
    # Configurations: the .proto files of the programs.
    "a label map of the Object Detection API": {
        "label_map.pbtxt": 'item {\n  id: 1\n  name: "cat"\n}\nitem {\n  id: 2\n  name: "dog"\n}\n',
        "mscoco.pbtxt": 'item {\n  name: "/m/01g317"\n  id: 1\n  display_name: "person"\n}\n',
        "braces.pbtxt": "# made by hand\nitem { name: 'a } b', id: 1 }\n",
    },
    "a pipeline configuration of the Object Detection API": {
        "pipeline.config": "model {\n  ssd {\n    num_classes: 2\n  }\n}\ntrain_config {\n}\n",
        "center.config": "# CenterNet\nmodel {\n  center_net {\n    num_classes: 90\n  }\n}\n",
        "train.config": 'train_config: {\n  batch_size: 1\n}\ntrain_input_reader: { label_map_path: "x" }\n',
    },
    "a configuration of TensorBoard's projector": {
        "projector_config.pbtxt": 'embeddings {\n  tensor_name: "w"\n  metadata_path: "metadata.tsv"\n}\n',
        "with_model.pbtxt": 'model_checkpoint_path: "model.ckpt"\nembeddings {\n  tensor_name: "w"\n}\n',
    },
    "a model configuration of Triton": {
        "config.pbtxt": 'name: "m"\nplatform: "tensorflow_savedmodel"\nmax_batch_size: 8\n',
        "python.pbtxt": 'backend: "python"\ninput [\n  {\n    name: "x"\n    dims: [ 3 ]\n  }\n]\n',
        "short.pbtxt": 'name: "m"\ninput [{ name: "x" data_type: TYPE_FP32 dims: [ -1 ] }]\n',
    },
    "a configuration of TensorFlow Serving": {
        "models.config": 'model_config_list {\n  config {\n    name: "m"\n    base_path: "/m"\n  }\n}\n',
    },
    "a schema of TensorFlow Metadata": {
        "schema.pbtxt": 'feature {\n  name: "age"\n  type: FLOAT\n  presence {\n  }\n}\n',
    },
    "statistics of TensorFlow Metadata": {
        "stats.pbtxt": "datasets {\n  num_examples: 10\n  features {\n  }\n}\n"
    },
    "a list of operations (OpList)": {
        "ops.pb": op_list(),
        "ops.pbtxt": 'op {\n  name: "Abs"\n  input_arg {\n    name: "x"\n    type_attr: "T"\n  }\n}\n',
        "noop.pbtxt": 'op {\n  name: "Const"\n  output_arg { name: "output" }\n  attr { name: "value" }\n}\n',
    },
    "a profile of TensorFlow or JAX (XPlane)": {
        "host.xplane.pb": plane("/host:CPU", 0) + plane("/device:GPU:0", 2),
        "one.xplane.pb": plane("/host:metadata", 3),
        "plugins": {"host.xplane.pb": plane("/host:CPU", 0), "host.trace.json.gz": gzip.compress(b"{}")},
    },
    "a trace in JSON (trace.json)": {
        "trace.json": json.dumps({"displayTimeUnit": "ns", "metadata": {}, "traceEvents": [{"ph": "M"}]}),
    },
    "a NumPy array": {"a.npy": npy},
    "a NumPy .npz archive": {"a.npz": npz},
    "a MATLAB file (.mat)": {
        # The MAT-File Format: 116 bytes of text, 8 of offsets, a version 0x0100 and the letters IM.
        "a.mat": b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\1IM" + bytes(40),
    },
    "a MATLAB 7.3 file (.mat), which is HDF5": {
        "a.mat": b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n"
    },
    "a Parquet file": {"a.parquet": parquet},
    "an Arrow or Feather file": {"a.feather": feather, "v1.feather": b"FEA1" + bytes(40) + b"FEA1"},
    "an Avro file": {"a.avro": b"Obj\x01\x04\x14avro.codec\x08null" + bytes(20)},
    "an ORC file": {"a.orc": orc},
    "a SQLite database": {"a.db": sqlite},
    "a PNG image": {"a.png": picture("PNG")},
    "a JPEG image": {"a.jpg": picture("JPEG")},
    "a GIF image": {"a.gif": picture("GIF")},
    "a PDF document": {"a.pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"},
    "a CSV file": {"a.csv": "step,loss\n1,0.5\n2,0.25\n", "b.csv": '"name","value"\r\n"a, b",1\r\n'},
    "a BMP image": {"a.bmp": picture("BMP")},
    "a WebP image": {"a.webp": picture("WEBP")},
    "a TIFF image": {"a.tif": picture("TIFF"), "b.tif": b"MM\0*\0\0\0\x08" + bytes(30)},
    "an SVG image": {
        "a.svg": '<svg xmlns="http://www.w3.org/2000/svg"></svg>',
        "b.svg": '<?xml version="1.0"?>\n<!DOCTYPE svg PUBLIC "x" "y">\n<!-- c -->\n<svg></svg>',
    },
    "an audio file": {
        "a.wav": wave_file,
        "a.flac": b"fLaC\0\0\0\x22" + bytes(34),
        "a.ogg": b"OggS\0\x02" + bytes(30),
        "a.mp3": b"ID3\x03\0\0" + bytes(30),
    },
    "a video (MP4 or QuickTime)": {"a.mp4": b"\0\0\0\x18ftypmp42" + bytes(40)},
    "a file of macOS about other files (._ or .DS_Store)": {
        "._model.ckpt.index": b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(100),
        ".DS_Store": b"\0\0\0\x01Bud1" + bytes(100),
    },
    "a program or shared library (ELF)": {"a.so": b"\x7fELF\x02\x01\x01" + bytes(57)},
    "a program or library of Windows": {
        "a.dll": b"MZ\x90\0".ljust(64, b"\0") + b"\x80\0\0\0".ljust(64, b"\0") + b"PE\0\0d\x86"
    },
    "a program or library of macOS": {"a.dylib": b"\xcf\xfa\xed\xfe\x0c\0\0\x01" + bytes(40)},
    "a Jupyter notebook": {"a.ipynb": json.dumps({"cells": [], "metadata": {}, "nbformat": 4})},
    "a Python wheel": {
        "a-1-py3-none-any.whl": zipped("a/__init__.py", "a-1.dist-info/METADATA", "a-1.dist-info/RECORD")
    },
    "an empty zip archive": {"empty.zip": zipped(), "empty.npz": zipped()},
    "a zip archive": {
        "model.zip": zipped(
            "model/", "model/model.index", "model/model.data-00000-of-00001", "model/readme.txt"
        ),
        "cut.zip": zipped("saved_model.pb", "b", content=bytes(100))[:80],
    },
    "a tar archive": {"model.tar": tarred("model.index", "model.data-00000-of-00001")},
    "a gzip-compressed file": {
        "model.tar.gz": tarred("model.index", "model.data-00000-of-00001", mode="w:gz"),
        "text.gz": gzip.compress(b"text"),
    },
    "a bzip2-compressed file": {
        "model.tbz": tarred("model.index", mode="w:bz2"),
        "a.bz2": bz2.compress(b"x" * 50),
    },
    "an xz-compressed file": {
        "model.txz": tarred("model.index", mode="w:xz"),
        "a.xz": lzma.compress(b"x" * 50),
    },
    "a Zstandard-compressed file": {"a.zst": zstandard},
    "an LZ4-compressed file": {"a.lz4": lz4},
    "a 7z archive": {"a.7z": b"7z\xbc\xaf\x27\x1c\0\4" + bytes(40)},
    "a RAR archive": {"a.rar": b"Rar!\x1a\x07\x01\0" + bytes(40), "old.rar": b"Rar!\x1a\x07\0" + bytes(40)},
    # TensorFlow's, or left by a download.
    "the statistics of a step (RunMetadata)": {
        "timeline.pb": messages.RunMetadata(
            step_stats={
                "dev_stats": [
                    {
                        "device": "/job:localhost/replica:0/task:0/device:CPU:0",
                        "node_stats": [{"node_name": "x"}],
                    }
                ]
            }
        ).SerializeToString(),
        "cpu.pb": messages.RunMetadata(step_stats={"dev_stats": [{"device": "/cpu:0"}]}).SerializeToString(),
        "graphs.pb": messages.RunMetadata(partition_graphs=[{"node": [NODE]}]).SerializeToString(),
        "functions.pb": messages.RunMetadata(
            function_graphs=[{"pre_optimization_graph": {"node": [NODE]}}]
        ).SerializeToString(),
    },
    "a data set that tf.data saved": {
        # tensorflow/core/protobuf/snapshot.proto: creation_timestamp, run_id 2, version 3.
        "data": {"snapshot.metadata": DATASET, "dataset_spec.pb": b"\x8a\x02\x04\x12\0\x18\t", "1/x": b""},
        "shards": {"00000000.shard/00000000.snapshot": b"\x1e\0\0"},
        "snapshot.metadata": DATASET,
        "dataset_spec.pb": b"\x8a\x02\x04\x12\0\x18\t",
    },
    "a git-annex pointer, not the file it stands for": {
        "model.ckpt.index": "/annex/objects/SHA256E-s123--4d7a.index\n",
        "model.pb": ".git/annex/objects/F0/9x/SHA256E-s123--4d7a.pb/SHA256E-s123--4d7a.pb",
        "deep.pb": "../../.git/annex/objects/F0/9x/SHA256E-s123--4d7a.pb/SHA256E-s123--4d7a.pb",
    },
    "a DVC file, not the file it stands for": {
        "model.dvc": "outs:\n- md5: 4d7a\n  size: 123\n  path: model.ckpt\n"
    },
    "the marker of a TF1 Hub module, without a graph of its own": {
        # tensorflow_hub/module_def.proto: format 1 is FORMAT_V3; required_features 2.
        "tfhub_module.pb": b"\x08\x03",
        "with_features.pb": b"\x08\x03" + field(2, "x"),
    },
    "an XML error message of an object store": {
        "s3.ckpt": '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>',
        "gcs.pb": "<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied</Code></Error>",
        "azure.pb": '\ufeff<?xml version="1.0"?><Error><Code>BlobNotFound</Code></Error>',
    },
    "an error message in JSON": {
        "hub.h5": '{"error": "Repository not found"}',
        "gcs.pb": '{"error": {"code": 404}}',
        "github.pb": '{"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}',
        "zoo.pb": '{"detail": "Not found."}',
    },
    "an HTML page": {
        "comment.pb": "<!-- saved from url=(0014)about:internet -->\n<html></html>",
        "head.pb": "<head><title>404</title></head><body>Not Found</body>",
    },
    "an error message of a web server": {"raw.ckpt": "404: Not Found", "hf.bin": "Entry not found"},
    "a text in UTF-16, as Windows PowerShell writes": {
        "checkpoint": 'model_checkpoint_path: "m"'.encode("utf-16")
    },
    "an XML file": {"a.xml": '<?xml version="1.0"?>\n<annotation><folder>x</folder></annotation>'},
    "a file of zeros, as a full disk or a copy that was cut short leaves": {
        "model.ckpt": bytes(5000),
        "small": bytes(20),
    },
    "a safetensors file": {"model.safetensors": (20).to_bytes(8, "little") + b'{"__metadata__":{}}  '},
}
"""What a kind is called -> files of it, by their names."""
