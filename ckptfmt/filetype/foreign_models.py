"""Kinds of models that other programs write: the second part of the table of kinds.

First bytes are those that the formats' own descriptions give, or ``file(1)``. Names and numbers of fields are
those of the programs' schemas: caffe.proto, Model.proto of coremltools, onnx.proto, and so on.
"""

from __future__ import annotations

import re

from ckptfmt.filetype import foreign_messages as messages
from ckptfmt.filetype.kind import Kind
from ckptfmt.filetype.signs import (
    Strength,
    begins,
    begins_and_has,
    fields,
    has,
    json,
    message,
    msgpack_map,
    text_begins,
    zip_begins,
    zip_has,
)

_TORCH = "torch.load reads it, if you trust it: loading a pickle runs code"
_KERAS = (
    "keras.models.load_model reads it, and 'ckptfmt convert' makes a model of Keras 2 one of Keras 3; "
    "ckptfmt.open_tensors reads its weights"
)
_HDF5_READER = "ckptfmt.open_tensors reads it, and h5py"
_FLAX = "ckptfmt.open_tensors reads it, and flax.serialization.msgpack_restore"
_HUGGING_FACE = "transformers reads it with from_pretrained; safetensors, torch.load or h5py read the weights"
_TFJS = "TensorFlow.js reads it; the weights are in the .bin files that its weightsManifest names"
_WEAK = Strength.WEAK_MAGIC
_XML = rb"(?s:<\?xml.{0,200}?\?>\s*)?"
_HDF5 = rb"\x89HDF\r\n\x1a\n"
_PICKLE = rb"\x80[\x02-\x05]"  # the opcode PROTO, then the protocol; older ones have no header

MEDIAPIPE = Kind("a graph of MediaPipe as text", "mediapipe reads it", (fields("node.calculator"),))

_JAX = (
    Kind(
        "an Orbax checkpoint of JAX",
        "ckptfmt.open_tensors reads it, and orbax.checkpoint",
        (json("tree_metadata"), json("item_handlers"), begins(rb"\x0c\xdb(?:\x3a\x2a|\x20\xde|\x12\x34)")),
        (
            has(r"_METADATA|_CHECKPOINT_METADATA|manifest\.ocdbt|_sharding"),
            has(
                r"(\d+|\w+[_-]\d+|default|params|state)/",
                r"_CHECKPOINT_METADATA|descriptor/|metrics/|_strings\.json",
            ),
        ),
        tensors="orbax",
    ),
    Kind(
        "a T5X checkpoint of JAX",
        "t5x or seqio and tensorstore read it",
        directory=(has(r"checkpoint", r"(target|state)\..*"), has(r"(target|state)\.[\w.]+/")),
    ),
    Kind(
        "a Flax checkpoint (msgpack)",
        _FLAX,
        (
            msgpack_map(
                "params", "opt_state", "target", "optimizer", "batch_stats", "flax_mutables", "ema_params"
            ),
        ),
        (has(r"flax_model\.msgpack"),),
        tensors="msgpack",
    ),
    Kind("a MessagePack file, as Flax writes checkpoints", _FLAX, (msgpack_map(),), tensors="msgpack"),
    Kind(
        "a zarr array or group",
        "ckptfmt.open_tensors reads it",
        (json("zarr_format"), zip_has(r"(\A|\A[^/]+/)(zarr\.json|\.zarray|\.zgroup)\Z")),
        (has(r"\.zarray|\.zgroup|zarr\.json"),),
        tensors="zarr",
    ),
    Kind(
        "a Kerchunk reference file for zarr",
        "ckptfmt.open_tensors reads it",
        (json("version", "refs"),),
        tensors="zarr",
    ),
)
_HDF5_FILES = (
    Kind(
        "a MATLAB 7.3 file (.mat), which is HDF5",
        _HDF5_READER,
        (begins(rb"MATLAB 7\.3 MAT-file"),),
        tensors="hdf5",
    ),
    Kind(
        "a Keras model in HDF5 (.h5)",
        _KERAS,
        (begins_and_has(_HDF5, rb"model_config"),),
        tensors="hdf5",
    ),
    Kind(
        "weights of a Keras model in HDF5 (.h5)",
        "ckptfmt.open_tensors reads it, and the load_weights of its Keras model",
        (begins_and_has(_HDF5, rb"layer_names|weight_names|\0vars\0"),),
        tensors="hdf5",
    ),
    Kind(
        "an HDF5 file, as Keras writes",
        _HDF5_READER,
        (begins(_HDF5), begins(rb"(?s:.{512})" + _HDF5)),
        tensors="hdf5",
    ),
    Kind(
        "a Keras model (.keras)",
        _KERAS,
        (
            zip_begins(r"\A(metadata\.json|config\.json|model\.weights\.h5)\Z"),
            zip_has(r"(\A|/)config\.json\Z", r"(\A|/)model\.weights\.(h5|npz)\Z"),
        ),
        tensors="keras",
    ),
    Kind(
        "the architecture of a Keras model in JSON",
        "keras.models.model_from_json reads it",
        (json("class_name", "config"), json("keras_version", "backend")),
    ),
)
_PYTORCH = (
    Kind(
        "a TorchScript model of PyTorch",
        "torch.jit.load reads it",
        (zip_has(r"/constants\.pkl\Z", r"/code/"),),
    ),
    Kind(
        "an ExecuTorch or TorchExport program",
        "torch.export.load reads it",
        (zip_has(r"serialized_exported_program\.json\Z"),),
    ),
    Kind("a program of ExecuTorch (.pte)", "the executorch runtime reads it", (begins(rb".{4}ET1\d"),)),
    Kind(
        "a PyTorch file",
        "ckptfmt.open_tensors reads the tensors in it; torch.load reads it, if you trust it",
        (zip_has(r"(\A|/)data\.pkl\Z"),),
        tensors="torch",
    ),
    Kind(
        "a PyTorch file from before 1.6",
        _TORCH,
        (begins(rb"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\."),),  # torch.serialization.MAGIC_NUMBER
    ),
    Kind(
        "a distributed checkpoint of PyTorch",
        "torch.distributed.checkpoint reads it",
        directory=(has(r".*\.distcp"),),
    ),
    Kind(
        "a parameter file of PaddlePaddle (.pdparams, .pdopt)",
        "paddle.load reads it, if you trust it: loading a pickle runs code",
        (begins_and_has(_PICKLE, rb"StructuredToParameterName@@|LR_Scheduler"),),
    ),
    Kind(
        "a Python pickle of joblib",
        "joblib.load reads it, if you trust it: loading a pickle runs code",
        (begins_and_has(_PICKLE, rb"joblib"), begins_and_has(rb"\x80[\x02-\x05]", rb"sklearn")),
    ),
    Kind(
        "a Python pickle, perhaps of PyTorch",
        "pickle.load or torch.load reads it, if you trust it: loading a pickle runs code",
        (begins(_PICKLE), begins(rb"\((?:dp|lp)\d+\n|ccopy_reg\n|[}\]]q\0|\((?:dq|lq)\0")),
    ),
)
_HUGGING_FACE_FILES = (
    Kind(
        "a Hugging Face model",
        _HUGGING_FACE,
        directory=(
            has(
                r"config\.json|adapter_config\.json|model_index\.json",
                r"(pytorch_|adapter_|diffusion_pytorch_)?model.*\.(bin|safetensors)|tf_model.*\.h5|unet/|transformer/",
            ),
        ),
    ),
    Kind(
        "a configuration of Hugging Face",
        _HUGGING_FACE,
        (
            json("model_type"),
            json("transformers_version"),
            json("architectures"),
            json("_class_name", "_diffusers_version"),
        ),
    ),
    Kind("the index of a sharded Hugging Face model", _HUGGING_FACE, (json("weight_map"),)),
    Kind(
        "a tokenizer of Hugging Face",
        "tokenizers reads it",
        (json("added_tokens", "model"), json("tokenizer_class")),
    ),
)
_OTHER_MODELS = (
    Kind(
        "a model of SentencePiece (.model)",
        "the package sentencepiece reads it",
        (message(messages.is_sentence_piece),),
    ),
    Kind(
        "a program of XLA (HLO)",
        "XLA and TensorBoard's profile plugin read it",
        (message(messages.is_hlo), text_begins(rb"HloModule\s")),
    ),
    Kind(
        "a program in MLIR",
        "the tools of MLIR read it",
        (text_begins(rb"(?:\s*//[^\n]*\n){0,20}module(?: @\S+)?(?: attributes)? \{"), begins(rb"ML\xefR")),
    ),
    Kind(
        "weights of a TensorFlow.js model (.bin), judging by its name",
        "TensorFlow.js reads it with the model.json beside it",
        name=re.compile(r"(?:\A|[/\\])(?:group\d+-shard\d+of\d+(?:\.bin)?|weights\.bin)\Z"),
    ),
    Kind("a GGUF file", "llama.cpp and the package gguf read it", (begins(rb"GGUF"),)),
    Kind(
        "a GGML file, from before GGUF",
        "llama.cpp of that time reads it",
        (begins(rb"(?:lmgg|tjgg|fmgg|algg)"),),
    ),
    Kind("a TensorFlow Lite model", "the package ai-edge-litert reads it", (begins(rb"..\0\0TFL3"),)),
    Kind("an ONNX model", "onnx reads it", (message(messages.is_onnx),)),
    Kind(
        "a MindSpore checkpoint (.ckpt)",
        "mindspore.load_checkpoint reads it",
        (message(messages.is_mindspore),),
    ),
    Kind(
        "a program of PaddlePaddle (.pdmodel, __model__)",
        "paddle.jit.load or paddle.static.load_inference_model reads it",
        (message(messages.is_paddle_program), json("base_code", "program")),
        (has(r"__model__|.*\.pdmodel"), has(r".*\.pdiparams")),
    ),
    Kind(
        "parameters of PaddlePaddle (.pdiparams)",
        "paddle.jit.load or paddle.static.load_inference_model reads it",
        # A version 0, no levels of detail, another version 0, the size of a TensorDesc, and its first field.
        (begins(rb"\0{4}\0{8}\0{4}[\x02-\xff].\0\0\x08[\0-\x20](?:\x10|\Z)", strength=_WEAK),),
    ),
    Kind(
        "arrays of MXNet (.params)",
        "mxnet.nd.load reads it",
        (begins(rb"\x12\x01\0{6}\0{8}"),),  # kMXAPINDArrayListMagic and a reserved word
    ),
    Kind(
        "a network of MXNet (-symbol.json)",
        "mxnet.sym.load reads it",
        (json("nodes", "arg_nodes"), json("nodes.op", "nodes.inputs")),
        (has(r".*-symbol\.json", r".*\.params"),),
    ),
    Kind(
        "a Core ML model",
        "coremltools reads it",
        (
            # A version from 2 on, a description, and in it an input that has a name.
            begins(
                rb"\x08[\x02-\x20]\x12[\x80-\xff]{0,4}[\0-\x7f]\x0a[\x80-\xff]{0,2}[\x01-\x7f]\x0a",
                strength=_WEAK,
            ),
            message(messages.is_core_ml),
            json("itemInfoEntries", "fileFormatVersion"),
            zip_has(r"\.mlpackage/|\.mlmodel\Z"),
        ),
        (has(r"Manifest\.json", r"Data/"), has(r"model\.mil|coremldata\.bin")),
    ),
    Kind(
        "an engine of TensorRT", "the tensorrt runtime that built it reads it", (begins(rb"(?:ftrt|ptrt)"),)
    ),
    Kind(
        "a model of OpenVINO (IR)",
        "openvino reads it",
        (text_begins(_XML + rb"<net\b"),),
    ),
    Kind("a TensorFlow.js graph model", _TFJS, (json(format="graph-model"), json("modelTopology.node"))),
    Kind(
        "a TensorFlow.js layers model",
        _TFJS,
        (
            json(format="layers-model"),
            json("modelTopology.model_config"),
            json("modelTopology.class_name"),
            json("modelTopology.config"),
            json("modelTopology.keras_version"),
        ),
    ),
    Kind(
        "a TensorFlow.js model",
        _TFJS,
        (json("weightsManifest"), json("modelTopology"), json("paths", "weights")),
        (has(r"model\.json", r".*\.bin"), has(r"(tensorflowjs_model\.pb|weights_manifest\.json)")),
    ),
    Kind(
        "a network of Caffe as text (prototxt)",
        "caffe reads it, and OpenCV's dnn.readNetFromCaffe",
        (
            fields("layer.type"),
            fields("layers.type"),
            fields("layer.name"),
            fields("train_net"),
            fields("base_lr", "lr_policy"),
        ),
    ),
    Kind(
        "weights of a Caffe network (.caffemodel)",
        "caffe reads it, and OpenCV's dnn.readNetFromCaffe",
        (message(messages.is_caffe),),
    ),
    Kind(
        "a network of Caffe2",
        "caffe2 in old versions of torch reads it",
        (message(messages.is_caffe2), fields("op.type", "op.output"), fields("op.type", "op.input")),
    ),
    Kind(
        "a network of NCNN",
        "ncnn reads it",
        (text_begins(rb"7767517\s"), begins(rb"\xdd\x85\x76\0", strength=_WEAK)),
    ),
    Kind("a network of Darknet (.cfg)", "darknet reads it", (text_begins(rb"\[(?:net|network)\]"),)),
    Kind(
        "weights of a Darknet network (.weights)",
        "darknet reads it, with its .cfg file",
        # A version 0.1 to 0.5, a revision, and how many images were seen: 4, 4, 4 and 8 or 4 bytes.
        (begins(rb"\0{4}[\x01-\x05]\0{3}[\0-\x09]\0{3}...[\0-\x3f](?!\0{100})", strength=_WEAK),),
    ),
)

MODEL_KINDS: tuple[Kind, ...] = (*_JAX, *_HDF5_FILES, *_PYTORCH, *_HUGGING_FACE_FILES, *_OTHER_MODELS)
"""All of them. Among signs of the same strength, those of earlier kinds count first."""
