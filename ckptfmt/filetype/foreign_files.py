"""Kinds of configurations, logs, data and archives of other programs: the third part of the table of kinds.

First bytes are those that the formats' own descriptions give, or ``file(1)``. Names of fields are those of
the programs' schemas: model_config.proto of Triton, pipeline.proto of the Object Detection API, and so on.
"""

from __future__ import annotations

import re

from ckptfmt.filetype import foreign_messages as messages
from ckptfmt.filetype.details import contents
from ckptfmt.filetype.kind import Kind
from ckptfmt.filetype.signs import (
    Strength,
    begins,
    begins_and_has,
    fields,
    has,
    json,
    message,
    text_begins,
    zip_has,
)

_UNPACK = "unpack it first"
_NUMPY = "ckptfmt.open_tensors reads it, and numpy.load"
_OBJECT_DETECTION = "the TensorFlow Object Detection API reads it"

_CONFIGURATIONS = (
    Kind(
        "a label map of the Object Detection API",
        _OBJECT_DETECTION,
        (fields("item.id"), fields("item.name", "item.display_name")),
    ),
    Kind(
        "a pipeline configuration of the Object Detection API",
        _OBJECT_DETECTION,
        (
            *(
                fields(f"model.{name}")
                for name in ("ssd", "faster_rcnn", "center_net", "context_rcnn_model", "experimental_model")
            ),
            fields("train_config.batch_size"),
            fields("train_config", "train_input_reader"),
            fields("eval_config", "eval_input_reader"),
        ),
    ),
    Kind("a configuration of TensorBoard's projector", "tensorboard reads it", (fields("embeddings"),)),
    Kind(
        "a model configuration of Triton",
        "the Triton inference server reads it",
        (
            *(
                fields(name)
                for name in ("platform", "backend", "max_batch_size", "instance_group", "dynamic_batching")
            ),
            fields("name", "input.data_type"),
            fields("input.data_type", "output.data_type"),
        ),
    ),
    Kind(
        "a configuration of TensorFlow Serving",
        "tensorflow_model_server reads it",
        (fields("model_config_list"), fields("custom_model_config"), fields("prometheus_config")),
    ),
    Kind(
        "a schema of TensorFlow Metadata",
        "tensorflow_metadata reads it",
        (
            fields("feature.type"),
            fields("feature.name"),
            fields("string_domain.name"),
            fields("default_environment"),
        ),
    ),
    Kind(
        "statistics of TensorFlow Metadata",
        "tensorflow_data_validation reads it",
        (fields("datasets.num_examples"),),
    ),
)
_LOGS = (
    Kind(
        "a profile of TensorFlow or JAX (XPlane)",
        "TensorBoard's profile plugin reads it, and xprof",
        (message(messages.is_profile),),
        (has(r".*\.xplane\.pb"),),
        re.compile(
            r"\.(?:kernel_stats|tensorflow_stats|overview_page|input_pipeline|memory_profile|pod_viewer|op_profile)\.pb\Z"
        ),
    ),
    Kind(
        "a trace in JSON (trace.json)", "chrome://tracing and ui.perfetto.dev read it", (json("traceEvents"),)
    ),
)
_DATA = (
    Kind("a NumPy array", _NUMPY, (begins(rb"\x93NUMPY"),), tensors="npz"),
    Kind("a NumPy .npz archive", _NUMPY, (zip_has(r"\.npy\Z"),), tensors="npz"),
    Kind("a MATLAB file (.mat)", "scipy.io.loadmat reads it", (begins(rb"MATLAB 5\.0 MAT-file"),)),
    Kind("a Parquet file", "pyarrow or pandas reads it", (begins(rb"PAR1"),)),
    Kind("an Arrow or Feather file", "pyarrow reads it", (begins(rb"ARROW1\0\0|FEA1"),)),
    Kind("an Avro file", "fastavro reads it", (begins(rb"Obj\x01"),)),
    Kind("an ORC file", "pyarrow reads it", (begins(rb"ORC[\0-\x1f\x80-\xff]"),)),
    Kind("a SQLite database", "sqlite3 reads it", (begins(rb"SQLite format 3\0"),)),
    Kind("a PNG image", "", (begins(rb"\x89PNG\r\n\x1a\n"),)),
    Kind("a JPEG image", "", (begins(rb"\xff\xd8\xff"),)),
    Kind("a GIF image", "", (begins(rb"GIF8[79]a"),)),
    Kind("a BMP image", "", (begins(rb"BM.{4}\0{4}.\0{3}", strength=Strength.WEAK_MAGIC),)),
    Kind("a WebP image", "", (begins(rb"RIFF.{4}WEBP"),)),
    Kind("a TIFF image", "", (begins(rb"II\*\0|MM\0\*"),)),
    Kind(
        "an SVG image", "", (text_begins(rb"(?s:(?:<\?xml.{0,200}?\?>\s*)?(?:<!.{0,2000}?>\s*){0,9}<svg\b)"),)
    ),
    Kind("an audio file", "", (begins(rb"RIFF.{4}WAVE|fLaC|OggS|ID3[\x02-\x04]"),)),
    Kind("a video (MP4 or QuickTime)", "", (begins(rb"\0{3}.ftyp"),)),
    Kind("a PDF document", "", (begins(rb"%PDF-"),)),
    Kind(
        "a CSV file",
        "csv or pandas reads it",
        (text_begins(rb"(?:[^\s,][^,\n]*,)+[^\s,][^,\n]*\n(?:[^\n,]*,)+[^\n,]*\n"),),
    ),
)
_PROGRAMS = (
    Kind(
        "a file of macOS about other files (._ or .DS_Store)",
        "",
        (begins(rb"\0\x05\x16[\0\x07]|\0{3}\x01Bud1"),),
    ),
    Kind("a program or shared library (ELF)", "", (begins(rb"\x7fELF"),)),
    Kind("a program or library of Windows", "", (begins_and_has(rb"MZ", rb"PE\0\0"),)),
    Kind("a program or library of macOS", "", (begins(rb"[\xce\xcf]\xfa\xed\xfe|\xfe\xed\xfa[\xce\xcf]"),)),
    Kind("a Jupyter notebook", "jupyter reads it", (json("cells", "nbformat"), json("cells", "metadata"))),
    Kind("a Python wheel", "pip installs it", (zip_has(r"\.dist-info/(METADATA|WHEEL|RECORD)\Z"),)),
)
_ARCHIVES = (
    Kind(
        "an empty zip archive",
        "ckptfmt.open_tensors reads it, as numpy.load does",
        (begins(rb"PK\x05\x06"),),
        tensors="npz",
    ),
    Kind("a zip archive", _UNPACK, (zip_has(r""),), detail=contents),
    Kind("a tar archive", _UNPACK, (begins(rb".{257}ustar"),), detail=contents),
    Kind("a gzip-compressed file", _UNPACK, (begins(rb"\x1f\x8b"),), detail=contents),
    Kind(
        "a bzip2-compressed file", _UNPACK, (begins(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)?"),), detail=contents
    ),
    Kind("an xz-compressed file", _UNPACK, (begins(rb"\xfd7zXZ\0"),), detail=contents),
    Kind("a Zstandard-compressed file", _UNPACK, (begins(rb"\x28\xb5\x2f\xfd"),)),
    Kind("an LZ4-compressed file", _UNPACK, (begins(rb"\x04\x22\x4d\x18"),)),
    Kind("a 7z archive", _UNPACK, (begins(rb"7z\xbc\xaf\x27\x1c"),)),
    Kind("a RAR archive", _UNPACK, (begins(rb"Rar!\x1a\x07"),)),
)

FILE_KINDS: tuple[Kind, ...] = (*_CONFIGURATIONS, *_LOGS, *_DATA, *_PROGRAMS, *_ARCHIVES)
"""All of them. Among signs of the same strength, those of earlier kinds count first."""
