"""SavedModels: a directory of one or more graphs, with their variables, assets and descriptions.

::

    saved_model.pb | .pbtxt | .cpb    meta graphs, each selected by its tags
    variables/variables.index …       a checkpoint; V1 if TensorFlow 0.11 or 0.12 wrote it
    assets/…                          files that a graph reads
    assets.extra/…                    files that the user added
    fingerprint.pb                    hashes of the export
    keras_metadata.pb                 the layers, if Keras 2 exported it

Nothing is executed: functions and layers are data here.

Source: TensorFlow ``python/saved_model/loader_impl.py``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from copy import copy
from types import TracebackType

from ckptfmt.cached_property import cached_property
from ckptfmt.checkpoint.find import SAVED_MODEL_PREFIX
from ckptfmt.errors import CheckpointNotFoundError
from ckptfmt.filenames import SAVED_MODEL_FILES
from ckptfmt.filetype.kinds import TEXT_FILE, Holds
from ckptfmt.graph.meta.asset_path import asset_path
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.meta.signature import Signatures
from ckptfmt.graph.meta.variables import saved_sources
from ckptfmt.graph.read.message_file import open_message
from ckptfmt.graph.read.read import choose
from ckptfmt.graph.tables import has_tables
from ckptfmt.graph.tensor_content import MAX_BYTES
from ckptfmt.limits import DEFAULT, Limits, check_limits
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.saved_model.assets import ASSETS_EXTRA, AssetFile, AssetFiles
from ckptfmt.saved_model.cards import model_card
from ckptfmt.saved_model.draft import Edit
from ckptfmt.saved_model.edits import EditedModel, Edits
from ckptfmt.saved_model.fingerprint import FINGERPRINT_FILE, Fingerprint, decode_fingerprint
from ckptfmt.saved_model.functions import ConcreteFunctions, ObjectFunction, object_functions
from ckptfmt.saved_model.keras_layers import (
    KERAS_METADATA_FILE,
    KerasLayer,
    decode_descriptions,
    described_objects,
    keras_layers,
)
from ckptfmt.saved_model.keras_objects import KerasObjects
from ckptfmt.saved_model.reach import Reach, Usage
from ckptfmt.saved_model.variables import ModelVariables, ObjectVariable, bound_sources, object_variables
from ckptfmt.storage.filesystem import Filesystem, read_small_file, walk
from ckptfmt.storage.local import absolute_path, filesystem_of
from ckptfmt.tensors.checkpoint import Checkpoint, open_variables, without_variables
from ckptfmt.tensors.tensors import Weights


def open_saved_model(
    directory: str | os.PathLike[str],
    *,
    tags: str | Iterable[str] | None = None,
    backend: str = "mmap",
    fs: Filesystem | None = None,
    limits: Limits = DEFAULT,
) -> SavedModel:
    """Open the SavedModel in a directory.

    Parameters
    ----------
    directory
        The directory, or the file in it that holds the message: ``saved_model.pb``, ``.pbtxt`` or ``.cpb``,
        or of any other name.
    tags
        All the tags of one of its meta graphs; needed if it has several.
    backend, fs
        How files are read, and the file system they are in: see :func:`ckptfmt.open`.
    limits
        How much memory and work the file may take: see :class:`ckptfmt.Limits`.

    Raises
    ------
    PathNotFoundError
        There is no SavedModel.
    UnsupportedError
        The path leads to something else; the message says what it is, and what reads it.
    CorruptError
        The message is damaged, or the file does not hold one.
    GraphError
        No meta graph has exactly these tags.
    """
    check_limits(limits)
    path, fs = os.fspath(directory), filesystem_of(backend, fs)
    with open_message(path, Holds.SAVED_MODEL, fs, limits) as file:
        # A file that is named like a SavedModel but does not begin like one may be damaged: parsing it gives
        # an exact error. Any other file is refused as what it is.
        is_named_so = os.path.basename(file.name) in SAVED_MODEL_FILES
        is_damaged = is_named_so and file.kind in (None, TEXT_FILE)
        if file.holds is not Holds.SAVED_MODEL and not is_damaged:
            raise file.refusal(Holds.SAVED_MODEL)
        message = file.parse(messages.SavedModel)
        if is_damaged and not message.meta_graphs:
            raise file.refusal(Holds.SAVED_MODEL)
    # The path is that of the directory, or that of the file in it.
    folder = path if path != file.name else os.path.dirname(path) or os.curdir
    return SavedModel(folder, message, file.name, tags, fs, limits)


class SavedModel(Edits):
    """An open SavedModel; properties read what they need on access."""

    def __init__(
        self,
        directory: str,
        message: messages.SavedModel,
        file: str,
        tags: str | Iterable[str] | None,
        fs: Filesystem,
        limits: Limits = DEFAULT,
    ) -> None:
        self.directory = directory
        """The directory."""
        self.file = file
        """The file of the message."""
        self.message = message
        """The SavedModel message."""
        absolute = absolute_path(directory, fs)
        self.meta_graphs = tuple(MetaGraph(meta, file, absolute) for meta in message.meta_graphs)
        """All its meta graphs."""
        self._fs = fs
        self._limits = limits
        self._wide: SavedModel | None = None
        self._tags = None if tags is None else frozenset([tags] if isinstance(tags, str) else tags)
        if tags is not None:
            self.meta_graph  # noqa: B018  (there must be one)

    @cached_property
    def meta_graph(self) -> MetaGraph:
        """The selected meta graph; GraphError if there are several and no tags were given."""
        return choose(list(self.meta_graphs), self._tags, self.file)

    def narrowed(self, meta_graph: MetaGraph) -> SavedModel:
        """Return the same model with only one of its meta graphs; both share the checkpoint."""
        model = SavedModel(self.directory, self.message, self.file, None, self._fs, self._limits)
        model.meta_graphs = (meta_graph,)
        model._wide = self
        return model

    def _edited(self, *edits: Edit) -> EditedModel:
        return EditedModel(self, edits)

    @property
    def signatures(self) -> Signatures:
        """The signatures by name."""
        return self.meta_graph.signatures

    @property
    def init_op(self) -> str | None:
        """The node that TensorFlow runs after loading, to fill tables; None if the model names none."""
        return self.meta_graph.init_op

    # --- variables ---------------------------------------------------------------------------------------

    @cached_property
    def _opened(self) -> Checkpoint | CheckpointNotFoundError:
        """The checkpoint, or the error that says which file of it is missing."""
        if self._wide is not None:
            return self._wide._opened
        try:
            return open_variables(self.directory, self._fs, self._limits)
        except CheckpointNotFoundError as error:
            return error.with_traceback(None)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint with its variables, None if it does not exist."""
        return self._opened if isinstance(self._opened, Checkpoint) else None

    @cached_property
    def variables(self) -> ModelVariables:
        """The variables of the graph by the names of their nodes, as its Saver restores them.

        Without a Saver, as in a Hub module of TensorFlow 1, they are those of the collection ``variables``,
        each by its own name. Variables that the Saver does not restore, but functions of TensorFlow 2 are
        bound to, have the values of the objects. If the checkpoint does not exist, variables are listed
        nevertheless, and reading one raises CheckpointNotFoundError.
        """
        meta = self.meta_graph.message
        sources = saved_sources(
            meta.graph_def, meta.saver_def.restore_op_name, meta.collection_def, self.file
        )
        functions = meta.object_graph_def.concrete_functions
        if functions and not sources.keys() >= {node.name for node in self.meta_graph.graph.variables}:
            keys = {each.node: each.key for each in self.object_variables if each.key is not None}
            sources = {**bound_sources(meta.graph_def, functions, keys, self.file), **sources}
        # Without variables and tables there may be no checkpoint, and nothing is missing.
        has_values = bool(sources) or has_tables(meta.graph_def)
        return ModelVariables(sources, self._opened if has_values else None, self.file)

    @property
    def weights(self) -> Weights:
        """The model's own weights, under the names that the graph has for its variables.

        This is a view of :attr:`ckptfmt.Checkpoint.weights`. A model without variables has none.
        Raises CheckpointNotFoundError if the model has variables and the checkpoint does not exist.
        """
        checkpoint = self._opened
        if not isinstance(checkpoint, Checkpoint):
            if any(self.narrowed(meta).variables.sources for meta in self.meta_graphs):
                raise copy(checkpoint)
            prefix = os.path.join(self.directory, SAVED_MODEL_PREFIX)
            return without_variables(prefix, self._fs, self._limits).weights
        if checkpoint.object_graph is not None:
            return checkpoint.weights  # its full names are those of the graph
        if self._tags is None and len(self.meta_graphs) > 1:
            return checkpoint.weights  # all graphs share it
        sources = self.variables.sources
        whole = {node: source.name for node, source in sources.items() if source.region is None}
        stored = Counter(name for name in whole.values() if name in checkpoint)
        # Several nodes may be restored from one tensor; it keeps its name.
        names = {node: name for node, name in whole.items() if stored[name] == 1 and node not in checkpoint}
        return (checkpoint.renamed(names, keep_rest=True) if names else checkpoint).weights

    @cached_property
    def object_variables(self) -> tuple[ObjectVariable, ...]:
        """The variables among the objects of a TensorFlow 2 model; empty for one of TensorFlow 1.

        Both the model and its checkpoint have a graph of objects; these are walked together by the names that
        objects have for each other, as TensorFlow restores them. Names of variables need not be unique.
        """
        nodes = self.meta_graph.message.object_graph_def.nodes
        graph = None if self.checkpoint is None else self.checkpoint.object_graph
        return object_variables(nodes, graph)

    # --- usage -------------------------------------------------------------------------------------------

    @cached_property
    def _usage(self) -> Usage:
        entries = None if self.checkpoint is None else self.checkpoint.entries
        return Usage(self.meta_graph, self.variables.sources, self.assets, self.calls, entries)

    def reach(self, signature: str) -> Reach:
        """Return the parts that a signature uses: all that its outputs need, and the files that fill tables.

        A variable that is passed to a called function counts, whether or not the function uses it.

        Raises NameNotFoundError if no signature has that name, CorruptError if the graph refers to something
        that does not exist.
        """
        return self._usage.reach(signature)

    def unreached(self) -> Reach:
        """Return the parts that no signature uses; raises the same errors as :meth:`reach`."""
        return self._usage.unreached()

    # --- functions ---------------------------------------------------------------------------------------

    @cached_property
    def functions(self) -> ConcreteFunctions:
        """The concrete functions of a TensorFlow 2 model, by their names in the library."""
        return ConcreteFunctions(self.meta_graph.message.object_graph_def.concrete_functions, self.file)

    @cached_property
    def object_functions(self) -> tuple[ObjectFunction, ...]:
        """The functions of the objects of a TensorFlow 2 model; those of the model itself come first."""
        return object_functions(self.meta_graph.message.object_graph_def, self.file)

    @cached_property
    def calls(self) -> dict[str, frozenset[str]]:
        """The names of the functions that each node of the graph calls, for nodes that call any."""
        library = self.meta_graph.graph.functions
        # Most graphs of TensorFlow 1 have many nodes and no functions.
        nodes = self.meta_graph.message.graph_def.node if library else ()
        called = ((node.name, library.called_by([node])) for node in nodes)
        return {name: names for name, names in called if names}

    # --- files -------------------------------------------------------------------------------------------

    @property
    def assets(self) -> AssetFiles:
        """The files that the graph reads, by name.

        Asking for another name raises NameNotFoundError, a KeyError.

        Raises CorruptError if a name leads out of the directory.
        """
        files = AssetFiles(self.file)
        for asset in self.meta_graph.assets:
            path = asset_path(self.directory, asset.filename, self.file)
            exists = self._fs.path_type(path) == "file"
            files[asset.filename] = AssetFile(asset.filename, asset.tensor, path, exists)
        return files

    @property
    def assets_extra(self) -> dict[str, str]:
        """The files in ``assets.extra``, which the user added: path by name.

        Raises NotReadableError if the system refuses to list that directory.
        """
        base = os.path.join(self.directory, ASSETS_EXTRA)
        paths = (
            os.path.join(folder, name) for folder, listing in walk(self._fs, base) for name in listing.files
        )
        return {os.path.relpath(path, base).replace(os.sep, "/"): path for path in sorted(paths)}

    @property
    def fingerprint(self) -> Fingerprint | None:
        """Hashes of the export, None if there are none."""
        found = self._read_optional(FINGERPRINT_FILE)
        return None if found is None else decode_fingerprint(*found)

    @property
    def keras_layers(self) -> tuple[KerasLayer, ...]:
        """The model, its layers and its metrics as Keras 2 describes them, each with its weights.

        TensorFlow 2.5 and later describe them only if Keras saved the model; if ``tf.saved_model.save`` did,
        their classes and configurations are not known. Keras 3 does not say which objects are layers: for its
        models, as for those of other programs, this is empty.

        Raises
        ------
        CorruptError
            A description is not JSON.
        GraphError
            Several meta graphs have objects, and no tags were given.
        LimitError
            The descriptions are too deep, or take too much memory.
        """
        has_objects = any(meta.message.object_graph_def.nodes for meta in self.meta_graphs)
        graph = self.meta_graph.message.object_graph_def if has_objects else messages.SavedObjectGraph()
        objects = KerasObjects(graph, lambda: self.object_variables, self.file, self._limits)
        found = self._read_optional(KERAS_METADATA_FILE)
        if found is None:
            file, descriptions = self.file, described_objects(graph.nodes, objects)
        else:
            file, descriptions = found[1], decode_descriptions(*found, self._limits)
        return keras_layers(descriptions, file, objects, lambda: self._opened, self._limits)

    def _read_optional(self, name: str) -> tuple[bytes, str] | None:
        """The bytes of a file in the directory and its path, None if it does not exist."""
        path = os.path.join(self.directory, name)
        if self._fs.path_type(path) != "file":
            return None
        return read_small_file(self._fs, path, limit=MAX_BYTES, what=name), path

    # --- the context -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the checkpoint. Arrays already read stay valid."""
        opened = self.__dict__.get("_opened")
        if isinstance(opened, Checkpoint):
            opened.close()

    def __enter__(self) -> SavedModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        tags = " | ".join(", ".join(sorted(meta.tags)) for meta in self.meta_graphs)
        return f"<SavedModel {self.directory!r} [{tags}]>"

    def _repr_html_(self) -> str:
        return to_html(lambda: model_card(self))


def reach(model: SavedModel, signature: str) -> Reach:
    """Return what :meth:`SavedModel.reach` does, under its old name."""
    return model.reach(signature)


def unreached(model: SavedModel) -> Reach:
    """Return what :meth:`SavedModel.unreached` does, under its old name."""
    return model.unreached()
