"""What users hold: tensors by name, of a checkpoint or a view of one."""

from __future__ import annotations

from ckptfmt.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "restore": "Restored RestoreReport",
        "saved_names": "names_in_saved_model",
        "weights": "WeightName WeightNames left_out_table name_weights",
    },
)
