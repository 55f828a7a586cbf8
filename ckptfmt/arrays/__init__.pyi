from ckptfmt.arrays.convert import as_bytes as as_bytes
from ckptfmt.arrays.convert import as_tensor as as_tensor
from ckptfmt.arrays.decode import decode_variant as decode_variant
from ckptfmt.arrays.values import Variant as Variant
