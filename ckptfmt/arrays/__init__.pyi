from ckptfmt.arrays.decode import decode_variant as decode_variant
from ckptfmt.arrays.values import Variant as Variant
