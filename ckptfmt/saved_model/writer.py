"""``SavedModelWriter``: a new SavedModel of graphs and the values of their variables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ckptfmt.arrays.convert import as_array
from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import AlreadyExistsError, GraphError, NameConflictError, PathNotFoundError
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.asset_path import ASSETS, asset_path
from ckptfmt.graph.meta.completeness import check_tensors
from ckptfmt.graph.meta.make import make_meta_graph
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.meta.signature import DEFAULT_SIGNATURE
from ckptfmt.graph.meta.signature_def import SignatureLike, TensorLike, encode_signature
from ckptfmt.graph.node import free_name, parse_output
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.proto import messages
from ckptfmt.saved_model.asset_edits import add_asset, clear_assets
from ckptfmt.saved_model.draft import NewFile, NewTensor, bound_objects
from ckptfmt.saved_model.init_op import set_init_op
from ckptfmt.saved_model.layout import CHECKPOINT_DIRECTORY, check_replaceable
from ckptfmt.saved_model.owners import owners_of
from ckptfmt.saved_model.restored import restored_tensors
from ckptfmt.saved_model.signature_edits import SignatureEdits
from ckptfmt.saved_model.writing import write_assets, write_message, write_tensors
from ckptfmt.saving.sources import Savable
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import LOCAL, absolute_path, filesystem_of
from ckptfmt.storage.output.directory import create_directory
from ckptfmt.storage.output.transaction import Transaction
from ckptfmt.tensors.mapping import TensorMapping

PathLike = str | os.PathLike[str]


class SavedModelWriter(Transaction):
    """Writes a SavedModel; a context manager.

    The directory appears when the ``with`` block ends, whole. If the block raises, or the program dies, what
    was there before stays::

        with ckptfmt.SavedModelWriter("model/1") as writer:
            writer.add_meta_graph(graph, ckpt, signatures={
                "serving_default": {"inputs": {"x": "x:0"}, "outputs": {"scores": "softmax:0"}},
            })

    Parameters
    ----------
    directory
        The directory to write. Those above it are made.
    overwrite
        Whether a SavedModel that is there may be replaced, with all of its files. A directory with anything
        else in it is never replaced.
    fs
        The file system to write to, by default this machine's.

    Raises
    ------
    AlreadyExistsError
        The directory exists, and ``overwrite`` is not given or it has more than a SavedModel.
    """

    def __init__(self, directory: PathLike, *, overwrite: bool = False, fs: Filesystem | None = None) -> None:
        self.directory = os.fspath(directory)
        """The directory."""
        self._overwrite = overwrite
        self._fs = filesystem_of(fs=fs)
        self._message = messages.SavedModel(saved_model_schema_version=1)
        self._tensors: dict[str, NewTensor] = {}
        self._assets: dict[str, NewFile] = {}
        self._is_open = True
        # Refused here before the work of making a model, and again at the end.
        listing = self._fs.list_directory(self.directory)
        if listing.files or listing.directories:
            if not overwrite:
                raise AlreadyExistsError(self.directory)
            check_replaceable(self._fs, self.directory)

    def add_meta_graph(
        self,
        graph: Graph | MetaGraph,
        variables: Savable | None = None,
        tags: str | Iterable[str] = ("serve",),
        signatures: Mapping[str, SignatureLike] | None = None,
        assets: Mapping[str, PathLike | bytes] | None = None,
        *,
        init_op: str | None = None,
    ) -> None:
        """Add a meta graph. The graphs of a model share their variables.

        Parameters
        ----------
        graph
            What :func:`read_graph`, :func:`read_meta_graph` or :func:`freeze` returned, or a meta graph of a
            SavedModel. A Saver is added if it has variables and no Saver.
        variables
            The values by name: arrays, a checkpoint, a view of one, or several of these. Names are those that
            the Saver restores: those of the variables, unless it was made with others. Tensors that the graph
            does not restore are left out. Values that an earlier meta graph came with are there already.
            All are read when the model is written, so they must not change before that.
        tags
            The tags by which programs choose it.
        signatures
            Signatures by name: ``{"serving_default": {"inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}}``.
        assets
            Files that the graph reads: for each tensor that TensorFlow feeds the path to, the path of the
            file now. Those of a SavedModel's meta graph are taken over; its file names give them other
            contents.
        init_op
            The node that TensorFlow runs after loading; by default that of the meta graph, or what fills the
            tables of the graph.

        Raises
        ------
        TensorNotFoundError
            A variable has no value.
        NameNotFoundError
            A tensor of a signature, a tensor or a file of ``assets``, or the init op does not exist.
        NameConflictError
            A variable has another value already.
        GraphError
            A value does not fit its variable, another meta graph has the same tags, or the graph does not say
            the dtype of a tensor of a signature.
        PathNotFoundError
            A file of ``assets`` does not exist.
        """
        self._check_open()
        names = [tags] if isinstance(tags, str) else list(dict.fromkeys(tags))
        for other in self._message.meta_graphs:
            if set(other.meta_info_def.tags) == set(names):
                shown = ", ".join(sorted(names)) or "(none)"
                raise GraphError(f"another meta graph has the tags {shown}", file=self.directory)
        message = messages.MetaGraphDef()
        made = make_meta_graph(graph)
        message.CopyFrom(made.message)
        del message.meta_info_def.tags[:]
        message.meta_info_def.tags.extend(names)
        _add_signatures(message, signatures or {}, made.file)
        files = _place_assets(message, made, assets or {}, self._assets)
        _choose_init_op(message, MetaGraph(message, made.file, made.directory), init_op)
        tensors = self._needed_tensors(MetaGraph(message, made.file), variables)
        # Nothing has been kept so far: a meta graph that is refused leaves no trace.
        self._message.meta_graphs.add().CopyFrom(message)
        self._tensors.update(tensors)
        self._assets.update(files)

    def _needed_tensors(self, meta: MetaGraph, variables: Savable | None) -> dict[str, NewTensor]:
        """Return the tensors that a meta graph restores, and that no earlier one did."""
        saved = restored_tensors(meta)
        owners = {} if variables is None else owners_of(variables)
        entries: dict[str, Any] = {name: new.values[new.name] for name, new in self._tensors.items()}
        tensors = {}
        for name, wanted in saved.items():
            if name not in owners:
                continue
            values = owners[name]
            known = self._tensors.get(name)
            if known is not None and known.values is not values and known.values[name] is not values[name]:
                claims = {name: ["an earlier meta graph", "this one"]}
                raise NameConflictError("several values", names=claims, file=self.directory)
            entry = values.entries[name] if isinstance(values, TensorMapping) else None
            entries[name] = _fitting(name, values[name], wanted.dtype, meta.file) if entry is None else entry
            slices = () if entry is None else entry.slices
            tensors[name] = NewTensor(values, name, wanted.dtype, wanted.shape, slices)
        check_tensors(saved, entries, meta.file)
        if meta.message.object_graph_def.nodes and OBJECT_GRAPH_KEY in owners:
            string = find_dtype(messages.DataType.DT_STRING)
            tensors[OBJECT_GRAPH_KEY] = NewTensor(owners[OBJECT_GRAPH_KEY], OBJECT_GRAPH_KEY, string, ())
        return tensors

    def commit(self) -> None:
        """Write the model, and give the directory its name.

        Raises
        ------
        GraphError
            No meta graph was added.
        AlreadyExistsError
            The directory was created meanwhile.
        NotWritableError
            The system refuses. What was there before stays.
        """
        if not self._is_open:
            return
        self._is_open = False
        if not self._message.meta_graphs:
            raise GraphError("a SavedModel needs a meta graph: call add_meta_graph()", file=self.directory)
        fs, directory = self._fs, self.directory
        with create_directory(
            fs, directory, overwrite=self._overwrite, check=lambda: check_replaceable(fs, directory)
        ) as output:
            write_assets(output, self._assets)
            if self._tensors:
                write_tensors(output, dict(sorted(self._tensors.items())))
            for folder in (CHECKPOINT_DIRECTORY, ASSETS):
                output.make_directory(folder)
            write_message(output, self._message)

    def discard(self) -> None:
        """Write nothing. Does nothing after :meth:`commit`."""
        self._is_open = False

    def _check_open(self) -> None:
        if not self._is_open:
            raise ValueError(f"{self.directory}: the writer is closed")


def write_saved_model(
    directory: PathLike,
    graph: Graph | MetaGraph,
    variables: Savable | None = None,
    inputs: Mapping[str, TensorLike] | None = None,
    outputs: Mapping[str, TensorLike] | None = None,
    *,
    signatures: Mapping[str, SignatureLike] | None = None,
    tags: str | Iterable[str] = ("serve",),
    assets: Mapping[str, PathLike | bytes] | None = None,
    init_op: str | None = None,
    overwrite: bool = False,
    fs: Filesystem | None = None,
) -> str:
    """Write a SavedModel of one graph, as ``tf.compat.v1.saved_model.simple_save`` does; return its path.

    ::

        ckptfmt.write_saved_model("model/1", graph, ckpt, inputs={"x": "x:0"}, outputs={"y": "y:0"})

    Parameters
    ----------
    directory, overwrite, fs
        As of :class:`SavedModelWriter`.
    graph, variables, tags, assets, init_op
        As of :meth:`SavedModelWriter.add_meta_graph`.
    inputs, outputs
        Names of the inputs and outputs of the signature ``serving_default``, each with its tensor.
    signatures
        Further signatures, by name.

    Raises the errors of :class:`SavedModelWriter` and its methods.
    """
    given = dict(signatures or {})
    if inputs is not None or outputs is not None:
        given[DEFAULT_SIGNATURE] = {"inputs": inputs or {}, "outputs": outputs or {}}
    with SavedModelWriter(directory, overwrite=overwrite, fs=fs) as writer:
        writer.add_meta_graph(graph, variables, tags, given, assets, init_op=init_op)
    return writer.directory


def _fitting(name: str, value: Any, dtype: DType, file: str) -> Any:  # noqa: ANN401  (what a user gave)
    """Return a value as it will be written: numbers of Python get the dtype of the variable."""
    if hasattr(value, "dtype"):
        return value
    try:
        return as_array(value, dtype)
    except (TypeError, ValueError) as error:
        raise GraphError(f"variable {name!r}: {error}", file=file) from error


def _add_signatures(
    message: messages.MetaGraphDef, signatures: Mapping[str, SignatureLike], file: str
) -> None:
    """Add signatures to a meta graph, and to its objects if it has any."""
    edits = SignatureEdits(message, lambda: bound_objects(message, file), file)
    graph = MetaGraph(message, file).graph
    for name, signature in signatures.items():
        edits.put(name, encode_signature(signature, graph, name))


def _place_assets(
    message: messages.MetaGraphDef,
    source: MetaGraph,
    given: Mapping[str, PathLike | bytes],
    taken: Mapping[str, NewFile],
) -> dict[str, NewFile]:
    """List the files that a meta graph reads in it, and return their contents by name."""
    files: dict[str, NewFile] = {}
    used: set[str] = set()
    placed: list[tuple[str, str]] = []
    for asset in source.assets:
        if asset.filename in given:
            new = _file(asset.filename, given[asset.filename])
        else:
            path = asset_path(source.directory or "", asset.filename, source.file)
            if source.directory is None or LOCAL.path_type(path) != "file":
                what = f"the file of asset {asset.filename!r} is missing: pass its path in assets"
                raise PathNotFoundError(what, file=source.file)
            new = NewFile(LOCAL, path)
        used.add(asset.filename)
        placed.append((asset.tensor, _place(files, taken, asset.filename, new)))
    graph = source.graph
    for tensor, content in given.items():
        if tensor in used:
            continue
        found = graph.tensor(tensor)
        name = (
            parse_output(tensor).node if isinstance(content, bytes) else os.path.basename(os.fspath(content))
        )
        placed.append((found.name, _place(files, taken, name, _file(name, content))))
    if message.object_graph_def.nodes:
        return files  # objects refer to the files by their numbers
    clear_assets(message)
    for tensor, name in placed:
        add_asset(message, tensor, name)
    return files


def _file(name: str, content: PathLike | bytes) -> NewFile:
    if isinstance(content, bytes):
        return NewFile(None, name, content)
    path = absolute_path(os.fspath(content), LOCAL)
    if LOCAL.path_type(path) != "file":
        raise PathNotFoundError("no such file", file=os.fspath(content))
    return NewFile(LOCAL, path)


def _place(files: dict[str, NewFile], taken: Mapping[str, NewFile], name: str, new: NewFile) -> str:
    """Choose a name for a file: its own, unless another file has it."""
    same = next((each for each, known in (*files.items(), *taken.items()) if known == new), None)
    if same is not None:
        return same
    free = free_name(name, {*files, *taken})
    files[free] = new
    return free


def _choose_init_op(message: messages.MetaGraphDef, meta: MetaGraph, chosen: str | None) -> None:
    """Have TensorFlow run the chosen node after loading, or what fills the tables."""
    if chosen is not None:
        set_init_op(message, [meta.graph[parse_output(chosen).node].name])
    elif meta.init_op is None:
        set_init_op(message, meta.graph.initializers)
