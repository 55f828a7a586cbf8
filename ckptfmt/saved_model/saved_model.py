"""SavedModels: a directory of a graph or several, variables, assets and what else was exported with them.

::

    saved_model.pb | .pbtxt | .cpb    meta graphs, each told by its tags
    variables/variables.index …       a checkpoint
    assets/…                          files that a graph reads
    assets.extra/…                    files of the user's
    fingerprint.pb                    hashes of all this
    keras_metadata.pb                 the layers, where Keras 2 exported it

Nothing is executed, and what layers were is data here. Source: ``python/saved_model/loader_impl.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath, PureWindowsPath
from types import TracebackType
from typing import Any, NamedTuple

from ckptfmt.arrays.array import Array
from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import CorruptError, NameNotFoundError
from ckptfmt.filenames import SAVED_MODEL_FILES
from ckptfmt.filetype.kinds import TEXT_FILE, Holds
from ckptfmt.graph.attributes import PartialShape, decode_shape
from ckptfmt.graph.meta.collection import Asset
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.meta.signature import Signatures
from ckptfmt.graph.meta.variables import VARIABLE_OPS, Source, read_source, variable_sources
from ckptfmt.graph.read.message_file import open_message
from ckptfmt.graph.read.read import choose
from ckptfmt.graph.tensor_content import MAX_BYTES
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.proto import keras_metadata, messages
from ckptfmt.proto.parse import parse_message
from ckptfmt.saved_model.functions import ConcreteFunctions, ObjectFunction, object_functions
from ckptfmt.storage.filesystem import Filesystem, read_small_file, walk
from ckptfmt.storage.local import filesystem_of
from ckptfmt.tensors.checkpoint import Checkpoint, open_checkpoint


class AssetFile(NamedTuple):
    """A file that a graph reads."""

    filename: str
    """Its name below ``assets``."""
    tensor: str
    """The tensor, ``node:k``, that its path is fed to."""
    path: str
    """Where it lies."""
    exists: bool
    """Whether it is there."""


class Fingerprint(NamedTuple):
    """Hashes that tell one export from another."""

    saved_model_checksum: int
    graph_def_program_hash: int
    signature_def_hash: int
    saved_object_graph_hash: int
    checkpoint_hash: int
    producer: int
    """Version of what computed them."""
    uuid: str
    """A random number of this export."""


class KerasLayer(NamedTuple):
    """A model, layer or metric, as Keras 2 describes it."""

    node: int
    """Number of its object."""
    path: str
    """Where it hangs, as ``root.layer-0``."""
    identifier: str
    """What kind of thing it is, as ``_tf_keras_layer``."""
    class_name: str | None
    """Name of its class, where that is said."""
    config: Mapping[str, Any] | None
    """What it was made with, where that is said."""
    metadata: Mapping[str, Any]
    """All that is said of it."""


class ObjectVariable(NamedTuple):
    """A variable among the objects of a model of TensorFlow 2."""

    node: int
    """Number of the object, here and in the checkpoint."""
    name: str
    """Its name; several may have it."""
    dtype: DType
    shape: PartialShape
    trainable: bool
    key: str | None
    """Its key in the checkpoint; None where the checkpoint has it not."""


class ModelVariables(Mapping[str, Array]):
    """The variables of a graph, by the names of their nodes, read when they are asked for."""

    def __init__(self, sources: Mapping[str, Source], checkpoint: Checkpoint | None, file: str) -> None:
        self.sources = sources
        """What of the checkpoint each one is."""
        self._checkpoint = checkpoint
        self._file = file

    def __getitem__(self, name: str) -> Array:
        """Return the value of a variable.

        Raises NameNotFoundError where the graph has none of that name that is saved, or the checkpoint does
        not have it; and what reading the checkpoint raises.
        """
        source = self.sources.get(name)
        if source is None or self._checkpoint is None:
            raise NameNotFoundError(name, file=self._file, noun="variable")
        return read_source(source, self._checkpoint)

    def __iter__(self) -> Iterator[str]:
        return iter(self.sources)

    def __len__(self) -> int:
        return len(self.sources)

    # Comparing would read them all.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<ModelVariables, {len(self)}>"


def open_saved_model(
    directory: str | os.PathLike[str],
    *,
    tags: str | Iterable[str] | None = None,
    backend: str = "mmap",
    fs: Filesystem | None = None,
) -> SavedModel:
    """Open the SavedModel in a directory.

    Parameters
    ----------
    directory
        The directory, or the file with the message in it: ``saved_model.pb``, ``.pbtxt`` or ``.cpb``, or of
        another name.
    tags
        Which of its meta graphs, by all its tags; needed if it has several.
    backend, fs
        How files are read, and where they lie: see :func:`ckptfmt.open`.

    Raises
    ------
    PathNotFoundError
        There is no SavedModel.
    UnsupportedError
        The path leads to something else; the message says what it is, and what reads it.
    CorruptError
        The message is damaged, or none.
    GraphError
        No meta graph has exactly these tags.
    """
    path, fs = os.fspath(directory), filesystem_of(backend, fs)
    with open_message(path, Holds.SAVED_MODEL, fs) as file:
        # Where one is called so, and does not begin as one, parsing says what is wrong.
        is_called_so = os.path.basename(file.name) in SAVED_MODEL_FILES
        is_damaged = is_called_so and file.kind in (None, TEXT_FILE)
        if file.holds is not Holds.SAVED_MODEL and not is_damaged:
            raise file.refusal(Holds.SAVED_MODEL)
        message = file.parse(messages.SavedModel)
        if is_damaged and not message.meta_graphs:
            raise file.refusal(Holds.SAVED_MODEL)
    # Either the directory was given, or the file in it.
    folder = path if path != file.name else os.path.dirname(path) or os.curdir
    return SavedModel(folder, message, file.name, tags, fs)


def _stored_objects(nodes: Sequence[messages.SavedObject], graph: ObjectGraph) -> dict[int, int]:
    """Number of each object of a model -> number of the object in the checkpoint that is restored to it."""
    stored: dict[int, int] = {}
    fresh = [(0, 0)] if nodes else []
    while fresh:
        queue = []
        for number, other in fresh:
            if number not in stored and 0 <= number < len(nodes):
                stored[number] = other
                queue.append(number)
        for number in queue:
            names = dict(graph.edges(stored[number]))
            for child in nodes[number].children:
                if (
                    child.local_name in names
                    and child.node_id not in stored
                    and 0 <= child.node_id < len(nodes)
                ):
                    stored[child.node_id] = names[child.local_name]
                    queue.append(child.node_id)
        # Slots when all that they may belong to have been met.
        fresh = [pair for number in queue for pair in _stored_slots(nodes[number], number, stored, graph)]
    return stored


def _stored_slots(
    node: messages.SavedObject, number: int, stored: Mapping[int, int], graph: ObjectGraph
) -> Iterator[tuple[int, int]]:
    """The slot variables of an optimizer, and the objects that are restored to them."""
    if not node.slot_variables:
        return
    slots = {(s.variable.id, s.name): s.node.id for s in graph.nodes[stored[number]].slot_variables}
    for slot in node.slot_variables:
        other = slots.get((stored.get(slot.original_variable_node_id, -1), slot.slot_name))
        if other is not None:
            yield slot.slot_variable_node_id, other


class SavedModel:
    """An open SavedModel; properties read what they need when they are asked for."""

    def __init__(
        self,
        directory: str,
        message: messages.SavedModel,
        file: str,
        tags: str | Iterable[str] | None,
        fs: Filesystem,
    ) -> None:
        self.directory = directory
        """The directory."""
        self.file = file
        """The file of the message."""
        self.message = message
        """The SavedModel message."""
        self.meta_graphs = tuple(MetaGraph(meta, file) for meta in message.meta_graphs)
        """All its meta graphs."""
        self._fs = fs
        self._wide: SavedModel | None = None
        self._tags = None if tags is None else frozenset([tags] if isinstance(tags, str) else tags)
        if tags is not None:
            self.meta_graph  # noqa: B018  (there must be one)

    @cached_property
    def meta_graph(self) -> MetaGraph:
        """The meta graph that was asked for; GraphError where several are there and no tags were given."""
        return choose(list(self.meta_graphs), self._tags, self.file)

    def narrowed(self, meta_graph: MetaGraph) -> SavedModel:
        """Return the same model with only one of its meta graphs; both have one checkpoint."""
        model = SavedModel(self.directory, self.message, self.file, None, self._fs)
        model.meta_graphs = (meta_graph,)
        model._wide = self
        return model

    @property
    def signatures(self) -> Signatures:
        """The ways to call it, by name."""
        return self.meta_graph.signatures

    # --- variables ---------------------------------------------------------------------------------------

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint with its variables, None where it has none."""
        if self._wide is not None:
            return self._wide.checkpoint
        prefix = os.path.join(self.directory, "variables", "variables")
        if self._fs.path_type(f"{prefix}.index") != "file":
            return None
        return open_checkpoint(prefix, fs=self._fs)

    @cached_property
    def variables(self) -> ModelVariables:
        """The variables of the graph by the names of their nodes, as its Saver restores them."""
        meta = self.meta_graph.message
        if not any(node.op in VARIABLE_OPS for node in meta.graph_def.node):
            return ModelVariables({}, None, self.file)
        sources = variable_sources(meta.graph_def, meta.saver_def.restore_op_name, self.file)
        return ModelVariables(sources, self.checkpoint, self.file)

    @cached_property
    def object_variables(self) -> tuple[ObjectVariable, ...]:
        """The variables among the objects of a model of TensorFlow 2; none of one of TensorFlow 1.

        Both the model and its checkpoint have a graph of objects; these are walked together by the names that
        objects have for each other, as TensorFlow restores them. Names of variables are not unique.
        """
        nodes = self.meta_graph.message.object_graph_def.nodes
        graph = None if self.checkpoint is None else self.checkpoint.object_graph
        stored = {} if graph is None else _stored_objects(nodes, graph)
        found = []
        for number, node in enumerate(nodes):
            if node.WhichOneof("kind") != "variable":
                continue
            known = node.variable
            keys = graph.nodes[stored[number]].keys if graph is not None and number in stored else ()
            found.append(
                ObjectVariable(
                    number,
                    known.name,
                    find_dtype(known.dtype),
                    decode_shape(known.shape),
                    known.trainable,
                    keys[0] if keys else None,
                )
            )
        return tuple(found)

    # --- functions ---------------------------------------------------------------------------------------

    @cached_property
    def functions(self) -> ConcreteFunctions:
        """The concrete functions of a model of TensorFlow 2, by their names in the library."""
        return ConcreteFunctions(self.meta_graph.message.object_graph_def.concrete_functions, self.file)

    @cached_property
    def object_functions(self) -> tuple[ObjectFunction, ...]:
        """The functions of the objects of a model of TensorFlow 2: those of the model itself come first."""
        return object_functions(self.meta_graph.message.object_graph_def)

    @cached_property
    def calls(self) -> dict[str, frozenset[str]]:
        """For each node of the graph that calls functions, their names."""
        library = self.meta_graph.graph.functions
        # Most graphs of TensorFlow 1 have no functions, and many nodes.
        nodes = self.meta_graph.message.graph_def.node if library else ()
        called = ((node.name, library.called_by([node])) for node in nodes)
        return {name: names for name, names in called if names}

    # --- files -------------------------------------------------------------------------------------------

    @property
    def assets(self) -> dict[str, AssetFile]:
        """The files that the graph reads, by name.

        Raises CorruptError where a name leads out of the directory.
        """
        assets = list(self.meta_graph.assets)
        if not assets:
            legacy = self.meta_graph.collections.get("saved_model_assets", ())
            assets = [item for item in legacy if isinstance(item, Asset)]
        found = {}
        for asset in assets:
            path = os.path.join(self.directory, "assets", *self._safe(asset.filename))
            found[asset.filename] = AssetFile(
                asset.filename, asset.tensor, path, self._fs.path_type(path) == "file"
            )
        return found

    def _safe(self, filename: str) -> tuple[str, ...]:
        """The parts of a name that stays within its directory, on any system."""
        parts = PurePosixPath(filename).parts
        windows = PureWindowsPath(filename)
        if (
            not parts
            or "\x00" in filename
            or filename.startswith("/")
            or windows.drive
            or windows.root
            or ".." in (*parts, *windows.parts)
        ):
            raise CorruptError(f"asset {filename!r} leads out of the model", file=self.file)
        return parts

    @property
    def assets_extra(self) -> dict[str, str]:
        """The files in ``assets.extra``, which the user put there: path by name."""
        base = os.path.join(self.directory, "assets.extra")
        paths = (os.path.join(folder, name) for folder, found in walk(self._fs, base) for name in found.files)
        return {os.path.relpath(path, base).replace(os.sep, "/"): path for path in sorted(paths)}

    @property
    def fingerprint(self) -> Fingerprint | None:
        """Hashes of the export, None where there are none."""
        data = self._optional("fingerprint.pb")
        if data is None:
            return None
        found = parse_message(messages.FingerprintDef, data, os.path.join(self.directory, "fingerprint.pb"))
        return Fingerprint(
            found.saved_model_checksum,
            found.graph_def_program_hash,
            found.signature_def_hash,
            found.saved_object_graph_hash,
            found.checkpoint_hash,
            found.version.producer,
            found.uuid,
        )

    @property
    def keras_layers(self) -> tuple[KerasLayer, ...]:
        """The layers as Keras 2 describes them, as data; none where something else exported the model.

        Raises CorruptError where a description is no JSON.
        """
        name = "keras_metadata.pb"
        data = self._optional(name)
        if data is None:
            return ()
        import json  # few models have layers

        file = os.path.join(self.directory, name)
        found = []
        for node in parse_message(keras_metadata.SavedMetadata, data, file).nodes:
            try:
                metadata = json.loads(node.metadata) if node.metadata else {}
            except (ValueError, RecursionError) as error:
                raise CorruptError(f"layer {node.node_path!r}: no JSON: {error}", file=file) from error
            metadata = metadata if isinstance(metadata, dict) else {}
            config = metadata.get("config")
            class_name = metadata.get("class_name")
            found.append(
                KerasLayer(
                    node.node_id,
                    node.node_path,
                    node.identifier,
                    class_name if isinstance(class_name, str) else None,
                    config if isinstance(config, dict) else None,
                    metadata,
                )
            )
        return tuple(found)

    def _optional(self, name: str) -> bytes | None:
        path = os.path.join(self.directory, name)
        if self._fs.path_type(path) != "file":
            return None
        return read_small_file(self._fs, path, limit=MAX_BYTES, what=name)

    # --- the context -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the checkpoint. Arrays already read stay valid."""
        checkpoint = self.__dict__.get("checkpoint")
        if checkpoint is not None:
            checkpoint.close()

    def __enter__(self) -> SavedModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        tags = " | ".join(", ".join(sorted(meta.tags)) for meta in self.meta_graphs)
        return f"<SavedModel {self.directory!r} [{tags}]>"
