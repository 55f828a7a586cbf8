"""A file of another program as users see it: the mapping of names to arrays that a checkpoint is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptfmt import tensors
from ckptfmt.arrays.array import Array, as_asked, read_only
from ckptfmt.cached_property import cached_property
from ckptfmt.checkpoint.columns import Entries
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.selection import Selection
from ckptfmt.checkpoint.slices import Region
from ckptfmt.converting.sources.keras.training import keras_training
from ckptfmt.converting.sources.source import Source
from ckptfmt.errors import TensorNotFoundError
from ckptfmt.tensors.mapping import check_name
from ckptfmt.tensors.scope_variables import training_tensors
from ckptfmt.tensors.slice_reader import SliceReader
from ckptfmt.tensors.tensors import Tensors


class TensorFile(Tensors):
    """An open file of another program: ``Mapping`` of tensor names to NumPy arrays.

    Names are in the order of the file. A tensor is read on access, and arrays are read-only, views of the
    mapped file if possible. Views, plans and ``match`` work as for a checkpoint. Threads may share it.
    """

    object_graph = None
    """None: only TensorFlow stores objects."""

    def __init__(self, source: Source, reopen: Callable[[], TensorFile]) -> None:
        """Take an open file; ``reopen`` opens it again in another process, so it can be pickled."""
        self._source = source
        self._reopen = reopen
        self.entries: Entries = FileEntries(self)
        """What the file says about each tensor, by name."""

    @property
    def prefix(self) -> str:
        """The path that the file was opened by."""
        return self._source.path

    @property
    def format(self) -> str:
        """The format, such as ``"safetensors"``, ``"npz"``, ``"hdf5"``, ``"zarr"`` or ``"torch"``."""
        return self._source.format

    def __getitem__(self, name: str) -> Array:
        """Return a tensor as a read-only array.

        Raises
        ------
        TensorNotFoundError
            No tensor has that name; ``.close_matches`` has likely ones.
        CorruptError, TruncatedError, NotReadableError
            The values are damaged or cannot be read.
        """
        self.entries[name]
        return self._source.read(name, None)

    def stored_name(self, name: str) -> str:
        """Return the name itself, which must exist."""
        self.entries[name]
        return name

    def slice(self, name: str) -> SliceReader:
        """Return a reader of parts of one tensor: ``file.slice("w")[10:20, :]`` reads only that part."""
        return SliceReader(self.entries[name], FileTensor(self, name))

    def close(self) -> None:
        """Close the file. Arrays already returned stay valid."""
        self._source.close()

    def _absent(self, names: Collection[str]) -> list[str]:
        known = self._source.tensors
        return [name for name in names if name not in known]

    def _not_found(self, absent: Sequence[str]) -> TensorNotFoundError:
        # The path of a dataset that has the name that Keras gave it, or with a slash before it.
        known = getattr(self._source, "by_path", {}).get(absent[0].strip("/"))
        if len(absent) == 1 and known is not None:
            return TensorNotFoundError(absent[0], file=self.prefix, close_matches=[known])
        return super()._not_found(absent)

    def _stored(self) -> Mapping[str, str | None]:
        return {name: name for name in self}

    def _origin(self) -> None:
        return None

    def _region(self, name: str, region: Region | None, *, verified: bool) -> Array:
        return self._source.read(name, region)

    def _load(
        self, wanted: Sequence[str] | None, *, threads: int, copy: bool, out: Mapping[str, Array]
    ) -> dict[str, Array]:
        names = list(self) if wanted is None else wanted
        return {
            name: as_asked(read_only(self._source.read(name, None)), out.get(name), copy=copy)
            for name in names
        }

    def _release(self, name: str) -> None:
        self._source.release(name)

    @cached_property
    def _training(self) -> dict[str, str]:
        """The tensors that are not the model's variables, judging by their names, and what each is."""
        return {**training_tensors(self.entries), **keras_training(self.entries)}

    def _model_names(self) -> frozenset[str]:
        return frozenset(name for name in self if name not in self._training)

    @cached_property
    def _weights(self) -> tensors.WeightNames:
        return tensors.name_weights(self.entries, None, self._training, dict)

    def _weight_rules(self) -> tensors.WeightNames:
        return self._weights

    def __reduce__(self) -> tuple[object, ...]:
        return self._reopen, ()


class FileEntries(Entries):
    """The entries of a file by name."""

    def __init__(self, file: TensorFile) -> None:
        self._file = file

    def __getitem__(self, name: str) -> Entry:
        check_name(name)
        stored = self._file._source.tensors.get(name)
        if stored is None:
            raise self._file._not_found([name])
        return Entry(name, stored.dtype, stored.shape, stored.nbytes, None, None, None, ())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._file._source.tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._file._source.tensors)

    def __len__(self) -> int:
        return len(self._file._source.tensors)

    def __repr__(self) -> str:
        return f"<Entries of {self._file.prefix!r}>"


class FileTensor(NamedTuple):
    """One tensor of a file, as a :class:`SliceSource`."""

    file: TensorFile
    name: str

    def read(self, selection: Selection) -> Array:
        """Return what a selection takes, cut out of the smallest region that holds it."""
        return selection.taken_from(self.file._source.read(self.name, selection.region))

    def is_verified(self, selection: Selection) -> bool:
        """Return False: files of other programs have no checksums of parts."""
        return False
