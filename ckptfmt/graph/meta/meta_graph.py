"""Meta graphs: a graph with what its program knew about it, as ``.meta`` files and SavedModels hold it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from ckptfmt.cached_property import cached_property
from ckptfmt.errors import GraphError
from ckptfmt.graph.cards import graph_card
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.collection import Asset, Collections, Variable, decode_asset
from ckptfmt.graph.meta.completeness import check_tensors
from ckptfmt.graph.meta.savables import Choice
from ckptfmt.graph.meta.saved_variables import SavedVariable, saved_variables
from ckptfmt.graph.meta.saver import add_saver, replace_saver
from ckptfmt.graph.meta.saver_nodes import SaverOptions
from ckptfmt.graph.meta.signature import Signatures
from ckptfmt.graph.meta.stripped_ops import add_stripped_ops
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.tensor_content import MAX_BYTES
from ckptfmt.notebook.card import Card, Fact, Part
from ckptfmt.notebook.fields import fields_card
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.proto.parse import format_text
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of


class Saver(NamedTuple):
    """How a program saved its variables: a SaverDef."""

    filename_tensor: str
    """The tensor that the path is fed to."""
    save_tensor: str
    """The tensor to fetch to save."""
    restore_op: str
    """The op to run to restore."""
    version: str
    """The format of checkpoints: ``v2``, ``v1`` or ``legacy``."""
    sharded: bool
    """Whether each device writes files of its own."""
    max_to_keep: int
    """How many checkpoints are kept; 0 keeps all."""
    keep_checkpoint_every_n_hours: float
    """How often one is kept for good, in hours."""

    def _repr_html_(self) -> str:
        return to_html(lambda: fields_card(self, "Saver"))


_FORMATS = ("legacy", "v1", "v2")

_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")
"""Collections of one node, which TensorFlow runs after loading. Source: ``loader_impl.py: get_init_op``."""


class MetaGraph:
    """A graph, its collections, signatures, assets and Saver."""

    def __init__(self, message: messages.MetaGraphDef, file: str, directory: str | None = None) -> None:
        self.message = message
        """The MetaGraphDef."""
        self.file = file
        """The file it was read from."""
        self.directory = directory
        """The directory of the SavedModel that it is from, absolute if it is on this machine; None if it is
        not known, or if the file is not a SavedModel."""

    @cached_property
    def graph(self) -> Graph:
        """The graph."""
        return Graph(self.message.graph_def, self.file, self.stripped_ops, self.signatures.nodes())

    @property
    def tags(self) -> frozenset[str]:
        """The tags in a SavedModel: ``serve``, ``train``, ``gpu`` …; a ``.meta`` file has no tags."""
        return frozenset(self.message.meta_info_def.tags)

    @property
    def tensorflow_version(self) -> str:
        """The version of TensorFlow that wrote it, such as ``2.21.0``; empty if it does not say."""
        return self.message.meta_info_def.tensorflow_version

    @property
    def tensorflow_git_version(self) -> str:
        """The commit of TensorFlow that wrote it; empty if it does not say."""
        return self.message.meta_info_def.tensorflow_git_version

    @property
    def stripped_default_attrs(self) -> bool:
        """Whether attributes that have their op's default were left out."""
        return self.message.meta_info_def.stripped_default_attrs

    @property
    def stripped_ops(self) -> dict[str, messages.OpDef]:
        """The definitions of the ops that the graph uses, by name, if they were written."""
        return {op.name: op for op in self.message.meta_info_def.stripped_op_list.op}

    @property
    def saver(self) -> Saver | None:
        """How variables are saved; None if the file does not say."""
        if not self.message.HasField("saver_def"):
            return None
        saver = self.message.saver_def
        version = saver.version
        return Saver(
            saver.filename_tensor_name,
            saver.save_tensor_name,
            saver.restore_op_name,
            _FORMATS[version] if 0 <= version < len(_FORMATS) else f"unknown_{version}",
            saver.sharded,
            saver.max_to_keep,
            saver.keep_checkpoint_every_n_hours,
        )

    @cached_property
    def collections(self) -> Collections:
        """Lists that the program kept, by name: variables, losses, queue runners and others."""
        return Collections(self.message.collection_def, self.file)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The variables of the collection ``variables``; SavedModels of TensorFlow 2 have none."""
        return self.collections.variables("variables")

    @property
    def trainable_variables(self) -> tuple[Variable, ...]:
        """The variables of the collection ``trainable_variables``."""
        return self.collections.variables("trainable_variables")

    @property
    def signatures(self) -> Signatures:
        """The signatures by name."""
        return Signatures(self.message.signature_def, self.file)

    @property
    def init_op(self) -> str | None:
        """The node that TensorFlow runs after loading, to fill tables; None if a SavedModel names none."""
        names = [self.signatures.init_op, *(self._collected_node(name) for name in _INIT_COLLECTIONS)]
        return next(filter(None, names), None)

    @property
    def table_initializers(self) -> tuple[str, ...]:
        """The nodes of the collection ``table_initializer``, which ``tf.tables_initializer()`` runs."""
        names = self.collections.get("table_initializer", ())
        return tuple(parse_output(name).node for name in names if isinstance(name, str))

    def _collected_node(self, collection: str) -> str | None:
        names = self.collections.get(collection, ())
        return parse_output(names[0]).node if names and isinstance(names[0], str) else None

    @property
    def assets(self) -> tuple[Asset, ...]:
        """The files it needs, as a SavedModel lists them."""
        if self.message.asset_file_def:
            return tuple(map(decode_asset, self.message.asset_file_def))
        # Older exports list them in a collection only (``loader_impl.py: get_asset_tensors``).
        collected = self.collections.get("saved_model_assets", ())
        return tuple(item for item in collected if isinstance(item, Asset))

    # --- variables ---------------------------------------------------------------------------------------

    @property
    def saved_variables(self) -> dict[str, SavedVariable]:
        """The tensors that its Saver restores, by name in the checkpoint, with dtype and shape.

        Raises CorruptError if the graph contradicts itself, GraphError if nothing says which variables are
        saved, or if names are computed.
        """
        return saved_variables(self.message, self.file)

    def check_tensors(self, tensors: Mapping[str, Any]) -> None:
        """Check that a mapping has every tensor that the Saver restores, with its dtype and shape.

        What is written then can be restored by TensorFlow. Nothing is read from a checkpoint but its index.
        Raises TensorNotFoundError, whose ``names`` are all that are missing, or GraphError if some do not
        fit, and the errors of :attr:`saved_variables`.
        """
        check_tensors(self.saved_variables, tensors, self.file)

    def with_saver(
        self,
        variables: Choice | None = None,
        *,
        sharded: bool = False,
        max_to_keep: int | None = 5,
        keep_checkpoint_every_n_hours: float = 10000.0,
        name: str = "save",
        replace: bool = False,
    ) -> MetaGraph:
        """Return the meta graph with another Saver, whose nodes are those of ``tf.compat.v1.train.Saver``.

        Parameters
        ----------
        variables
            The variables to save, or a mapping of names in the checkpoint to variables, as in
            ``Saver({"v1": v})``. A partitioned variable is named as a whole, or by a list of its parts. By
            default, those of the collection ``variables`` or, without it, all.
        sharded
            Whether each device writes a file of its own.
        max_to_keep, keep_checkpoint_every_n_hours
            How many checkpoints a program keeps that imports the meta graph, and how often one for good.
        name
            The scope of the nodes; if it is in use, ``_1``, ``_2`` … is appended.
        replace
            Whether to remove the nodes of the Saver that it has. Otherwise they stay, for those who run them.

        Raises
        ------
        NameNotFoundError
            A variable does not exist.
        NameConflictError
            A variable would be saved under two names, or two variables under one.
        GraphError
            There are no variables, or a list of them is not a partitioned one.
        """
        message = messages.MetaGraphDef()
        message.CopyFrom(self.message)
        options = SaverOptions(sharded, max_to_keep or 0, keep_checkpoint_every_n_hours, name)
        add = replace_saver if replace and message.HasField("saver_def") else add_saver
        if not add(message, self.file, variables, options):
            raise GraphError("no variables to save", file=self.file)
        if message.meta_info_def.HasField("stripped_op_list"):
            add_stripped_ops(message, self.graph.functions.op)
        return MetaGraph(message, self.file, self.directory)

    # --- as a file ---------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """Return the meta graph serialized, the same bytes every time.

        Raises GraphError if it takes 2 GiB or more, which protobuf does not write.
        """
        from google.protobuf.message import EncodeError

        try:
            data = self.message.SerializeToString(deterministic=True)
        except (EncodeError, ValueError) as error:
            raise GraphError(f"cannot be serialized: {error}", file=self.file) from error
        if len(data) >= MAX_BYTES:
            what = f"got {len(data)} bytes, want less than {MAX_BYTES}, as protobuf has"
            raise GraphError(what, file=self.file)
        return data

    def to_text(self) -> str:
        """Return the meta graph in protobuf's text format."""
        return format_text(self.message)

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        as_text: bool | None = None,
        overwrite: bool = False,
        fs: Filesystem | None = None,
    ) -> None:
        """Write a ``.meta`` file, whole or not at all, which ``tf.compat.v1.train.import_meta_graph`` reads.

        Parameters
        ----------
        path
            The file; beside a checkpoint, its prefix and ``.meta``.
        as_text
            Whether it is text. By default, it is if its name ends in ``.pbtxt``.
        overwrite
            Whether an existing file may be replaced.
        fs
            The file system that the path is in; by default that of this machine.

        Raises
        ------
        AlreadyExistsError
            The file exists, and ``overwrite`` is not given.
        GraphError
            It takes 2 GiB or more.
        NotWritableError
            The file cannot be written.
        """
        target = os.fspath(path)
        if as_text is None:
            as_text = target.endswith(".pbtxt")
        data = self.to_text().encode() if as_text else self.to_bytes()
        with filesystem_of(fs=fs).create(target, overwrite=overwrite) as file:
            file.write(data)

    def __repr__(self) -> str:
        tags = f" [{', '.join(sorted(self.tags))}]" if self.tags else ""
        return f"<MetaGraph {self.file!r}{tags}, {len(self.message.graph_def.node)} nodes>"

    def _card(self) -> Card:
        saver = self.saver
        facts: list[tuple[str, Fact]] = [
            ("tags", ", ".join(sorted(self.tags)) or None),
            ("TensorFlow", self.tensorflow_version or None),
            ("nodes", len(self.message.graph_def.node)),
            ("Saver", None if saver is None else str(saver.version)),
        ]
        parts: list[Part] = [*self.signatures._cards(), self.collections._table(), graph_card(self.graph)]
        return Card("MetaGraph", self.file, facts, parts)

    def _repr_html_(self) -> str:
        return to_html(self._card)
