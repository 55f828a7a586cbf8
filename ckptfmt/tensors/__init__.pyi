from ckptfmt.tensors.restore import Restored as Restored
from ckptfmt.tensors.restore import RestoreReport as RestoreReport
