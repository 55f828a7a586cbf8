from ckptfmt.tensors.restore import Restored as Restored
from ckptfmt.tensors.restore import RestoreReport as RestoreReport
from ckptfmt.tensors.saved_names import names_in_saved_model as names_in_saved_model
from ckptfmt.tensors.weights import WeightName as WeightName
from ckptfmt.tensors.weights import WeightNames as WeightNames
from ckptfmt.tensors.weights import left_out_table as left_out_table
from ckptfmt.tensors.weights import name_weights as name_weights
