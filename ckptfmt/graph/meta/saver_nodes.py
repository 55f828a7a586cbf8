"""Saver nodes: what TensorFlow runs to save the variables of a graph, and to restore them.

The nodes, their order, names and attributes are those of ``tf.compat.v1.train.Saver``::

    filename/input → filename → Const            the prefix; a program feeds Const
    SaveV2(Const, tensor_names, shape_and_slices, variables…)
    control_dependency                           the prefix, once it is saved
    RestoreV2(Const, tensor_names, shape_and_slices)
    Assign(v, RestoreV2:k)                       a reference
    AssignVariableOp(v, Identity(RestoreV2:k))   a resource
    restore_all                                  runs all of these

A sharded Saver has SaveV2 and RestoreV2 for each device. Each SaveV2 writes to a temporary prefix of its own
(ShardedFilename), and MergeV2Checkpoints makes one checkpoint of them.

Source: TensorFlow ``python/training/saver.py``, ``python/ops/control_flow_ops.py`` (``group``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count, groupby
from typing import NamedTuple

from ckptfmt.checkpoint.slice_specs import parse_spec
from ckptfmt.dtypes import BY_NAME
from ckptfmt.graph.attributes import PartialShape
from ckptfmt.graph.meta.device_names import CPU, Device, cpu_of, parse_device
from ckptfmt.graph.meta.node_builder import ANYWHERE, AttributeValue, NodeBuilder
from ckptfmt.graph.meta.savables import Savable, SaveSpec
from ckptfmt.proto import messages

_STRING = BY_NAME["string"]
_INT32 = BY_NAME["int32"]

_ANY_CPU = Device(kind="CPU")

_SCALAR: PartialShape = ()

_TEMPORARY = b"_temp/part"
"""What a sharded Saver appends to the prefix while it writes; MergeV2Checkpoints deletes the directory."""


_DISABLES_COPIES = 1205
"""The producer version of TensorFlow 2.10. Its Savers use DisableCopyOnRead, which older versions lack."""


class SaverOptions(NamedTuple):
    """How a Saver saves."""

    sharded: bool = False
    """Whether each device writes a file of its own."""
    max_to_keep: int = 5
    """How many checkpoints a program keeps; 0 keeps all."""
    keep_checkpoint_every_n_hours: float = 10000.0
    """How often one is kept for good, in hours."""
    name: str = "save"
    """The scope of the nodes; if it is in use, ``_1``, ``_2`` … is appended."""


DEFAULT = SaverOptions()
"""What ``tf.compat.v1.train.Saver`` does if it is told nothing else."""


def add_saver_nodes(
    graph: messages.GraphDef, savables: Sequence[Savable], options: SaverOptions = DEFAULT
) -> messages.SaverDef:
    """Append to a GraphDef the nodes that save and restore variables, and return their SaverDef.

    Raises GraphError if the device of a variable is not one.
    """
    nodes = _SaverNodes(graph, options.name)
    if options.sharded:
        # Sorted by device; within a device, the order stays.
        by_device = sorted(savables, key=lambda each: str(_device_of(each)))
        shards = [(device, list(group)) for device, group in groupby(by_device, _device_of)]
        save = nodes.save_shards(shards)
        restore = nodes.restore_shards(shards)
    else:
        save = nodes.save(nodes.prefix, savables, ANYWHERE)
        restore = nodes.restore(savables, ANYWHERE, "restore_all")
    return messages.SaverDef(
        filename_tensor_name=f"{nodes.prefix}:0",
        save_tensor_name=f"{save}:0",
        restore_op_name=restore,
        max_to_keep=options.max_to_keep,
        sharded=options.sharded,
        keep_checkpoint_every_n_hours=options.keep_checkpoint_every_n_hours,
        version=messages.SaverDef.V2,
    )


def _device_of(savable: Savable) -> Device:
    return parse_device(savable.node.device)


class _SaverNodes:
    """Appends the nodes of one Saver to a graph."""

    def __init__(self, graph: messages.GraphDef, scope: str) -> None:
        self._builder = builder = NodeBuilder(graph, scope)
        self._may_disable_copies = graph.versions.producer >= _DISABLES_COPIES
        filename = builder.unique("filename")
        default = builder.constant(f"{filename}/input", b"model", _STRING)
        self.prefix = builder.unique("Const")
        """The node that the prefix is fed to."""
        placeholder: Mapping[str, AttributeValue] = {"dtype": _STRING, "shape": ()}
        for name, value in ((filename, default), (self.prefix, filename)):
            builder.add("PlaceholderWithDefault", name, [value], shapes=[_SCALAR], attributes=placeholder)

    # --- saving ------------------------------------------------------------------------------------------

    def save(self, prefix: str, savables: Sequence[Savable], device: Device) -> str:
        """Append the nodes that save variables, and return the one that then has the prefix."""
        builder = self._builder
        values = [spec.value or self._read(each, device) for each in savables for spec in each.specs]
        save = builder.unique("SaveV2")
        names = self._names_and_slices(save, savables, device)
        dtypes = [spec.dtype for each in savables for spec in each.specs]
        builder.add("SaveV2", save, [prefix, *names, *values], device=device, attributes={"dtypes": dtypes})
        return builder.add(
            "Identity",
            builder.unique("control_dependency"),
            [prefix],
            after=[save],
            device=device,
            shapes=[_SCALAR],
            attributes={"T": _STRING, "_class": [f"loc:@{prefix}".encode()]},
        )

    def _read(self, savable: Savable, outer: Device) -> str:
        """Append the nodes that read a resource, on its device, and copy it to the CPU of its machine."""
        builder = self._builder
        device = _device_of(savable).within(outer)
        caching = savable.caching_device
        where_read = device if caching is None else parse_device(caching)
        scope = builder.unique("Read")
        variable = [savable.node.name]
        if self._may_disable_copies:
            builder.add("DisableCopyOnRead", f"{scope}/DisableCopyOnRead", variable, device=where_read)
        value = builder.add(
            "ReadVariableOp",
            f"{scope}/ReadVariableOp",
            variable,
            device=where_read,
            shapes=[savable.shape],
            attributes={"dtype": savable.specs[0].dtype},
        )
        for where in (device, CPU.within(device)):
            value = self._identity(value, savable, where, savable.shape)
        return value

    def _identity(self, value: str, savable: Savable, device: Device, shape: PartialShape) -> str:
        name = self._builder.unique("Identity")
        attributes = {"T": savable.specs[0].dtype}
        return self._builder.add(
            "Identity", name, [value], device=device, shapes=[shape], attributes=attributes
        )

    def _names_and_slices(self, op: str, savables: Sequence[Savable], device: Device) -> list[str]:
        specs = [spec for each in savables for spec in each.specs]
        names = [spec.name.encode("utf-8", "surrogateescape") for spec in specs]
        slices = [spec.slice_spec.encode() for spec in specs]
        return [
            self._builder.constant(f"{op}/tensor_names", names, _STRING, device),
            self._builder.constant(f"{op}/shape_and_slices", slices, _STRING, device),
        ]

    def save_shards(self, shards: Sequence[tuple[Device, list[Savable]]]) -> str:
        """Append the nodes that save the variables of each device, then merge; return the last of them."""
        builder = self._builder
        temporary = self._temporary_prefix()
        total = builder.constant(builder.unique("num_shards"), len(shards), _INT32)
        prefixes, saves = [], []
        for number, (device, savables) in enumerate(shards):
            cpu = cpu_of(device)
            name = builder.unique("ShardedFilename")
            shard = builder.constant(f"{name}/shard", number, _INT32, cpu)
            inputs = [temporary, shard, total]
            prefixes.append(builder.add("ShardedFilename", name, inputs, device=cpu, shapes=[_SCALAR]))
            saves.append(self.save(prefixes[-1], savables, cpu))
        cpu = cpu_of(shards[-1][0])
        merge = builder.unique("MergeV2Checkpoints")
        parts = builder.add(
            "Pack",
            f"{merge}/checkpoint_prefixes",
            prefixes,
            after=saves,
            device=cpu,
            shapes=[(len(prefixes),)],
            attributes={"N": len(prefixes), "T": _STRING, "axis": 0},
        )
        flags = {"allow_missing_files": False, "delete_old_dirs": True}
        builder.add("MergeV2Checkpoints", merge, [parts, self.prefix], device=cpu, attributes=flags)
        return builder.add(
            "Identity",
            builder.unique("Identity"),
            [self.prefix],
            after=[merge, *saves],
            device=cpu,
            shapes=[_SCALAR],
            attributes={"T": _STRING},
        )

    def _temporary_prefix(self) -> str:
        """Append the nodes that compute the prefix of the parts; on S3, parts are beside the checkpoint."""
        builder = self._builder

        def add(op: str, inputs: Sequence[str], attributes: dict[str, AttributeValue]) -> str:
            return builder.add(
                op, builder.unique(op), inputs, device=_ANY_CPU, shapes=[_SCALAR], attributes=attributes
            )

        is_s3 = add("StaticRegexFullMatch", [self.prefix], {"pattern": b"^s3://.*"})
        suffixes = [
            builder.constant(builder.unique("Const"), text, _STRING, _ANY_CPU)
            for text in (b".part", _TEMPORARY)
        ]
        suffix = add("Select", [is_s3, *suffixes], {"T": _STRING})
        return add("StringJoin", [self.prefix, suffix], {"N": 2, "separator": b""})

    # --- restoring ---------------------------------------------------------------------------------------

    def restore(self, savables: Sequence[Savable], outer: Device, name: str) -> str:
        """Append the nodes that restore variables, and return the one that runs all of them."""
        builder = self._builder
        cpu = CPU.within(outer)
        restore = builder.unique("RestoreV2")
        names = self._names_and_slices(restore, savables, cpu)
        specs = [spec for each in savables for spec in each.specs]
        builder.add(
            "RestoreV2",
            restore,
            [self.prefix, *names],
            device=cpu,
            shapes=list(map(_restored_shape, specs)),
            attributes={"dtypes": [spec.dtype for spec in specs]},
        )
        outputs = (f"{restore}:{number}" if number else restore for number in count())
        assigns = []
        for savable in savables:
            device = _device_of(savable).within(outer)
            values = [next(outputs) for _ in savable.specs]
            assigns.append((device, self._assign(savable, values, device)))
        return self._group(assigns, name)

    def _assign(self, savable: Savable, values: Sequence[str], device: Device) -> str:
        """Append the nodes that give restored values to a variable or table; return the last of them."""
        builder = self._builder
        target = savable.node.name
        spec = savable.specs[0]
        attributes: dict[str, AttributeValue]
        if savable.is_reference:
            # The shape is checked if the variable has one.
            is_known = savable.shape is not None and None not in savable.shape
            attributes = {"T": spec.dtype, "use_locking": True, "validate_shape": is_known}
            return builder.add(
                "Assign",
                builder.unique("Assign"),
                [target, *values],
                device=device,
                shapes=[savable.shape if is_known else _restored_shape(spec)],
                attributes=attributes | {"_class": _colocation(savable.node)},
            )
        if savable.node.op == "VarHandleOp":
            value = self._identity(values[0], savable, device, _restored_shape(spec))
            attributes = {"dtype": spec.dtype, "validate_shape": False}
            name = builder.unique("AssignVariableOp")
            return builder.add(
                "AssignVariableOp", name, [target, value], device=device, attributes=attributes
            )
        scope = builder.unique(f"{savable.name}_table_restore")
        attributes = {"Tin": spec.dtype, "Tout": savable.specs[1].dtype, "_class": _colocation(savable.node)}
        return builder.add(
            "LookupTableImportV2",
            f"{scope}/LookupTableImportV2",
            [target, *values],
            device=device,
            attributes=attributes,
        )

    def restore_shards(self, shards: Sequence[tuple[Device, list[Savable]]]) -> str:
        """Append the nodes that restore the variables of each device, and return the last."""
        restores = [(device, self.restore(savables, device, "restore_shard")) for device, savables in shards]
        return self._group(restores, "restore_all")

    def _group(self, nodes: Sequence[tuple[Device, str]], name: str) -> str:
        """Append a node that runs others, through one on each device if they are on several."""
        builder = self._builder
        by_device: dict[str, list[str]] = {}
        devices: dict[str, Device] = {}
        for device, node in nodes:
            by_device.setdefault(str(device), []).append(node)
            devices[str(device)] = device
        group = builder.unique(name)
        if len(by_device) == 1:
            ((device_name, targets),) = by_device.items()
            return builder.add("NoOp", group, after=targets, device=devices[device_name])
        each = [
            builder.add(
                "NoOp",
                f"{group}/NoOp" + (f"_{number}" if number else ""),
                after=by_device[device_name],
                device=devices[device_name],
            )
            for number, device_name in enumerate(sorted(by_device))
        ]
        return builder.add("NoOp", group, after=each)


def _colocation(node: messages.NodeDef) -> list[bytes]:
    """Return what a node that is colocated with another has as its ``_class``."""
    # A node that is colocated with others has their class, and so has what is colocated with it.
    classes = node.attr["_class"].list.s if "_class" in node.attr else ()
    groups = {each for each in classes if each.startswith(b"loc:@")}
    return sorted(groups) or [f"loc:@{node.name}".encode()]


def _restored_shape(spec: SaveSpec) -> PartialShape:
    """Return the shape that TensorFlow infers for a restored tensor, which is not that of the variable."""
    if not spec.slice_spec:
        return None
    _, region = parse_spec(spec.slice_spec)
    return tuple(stop - start for start, stop in region)
