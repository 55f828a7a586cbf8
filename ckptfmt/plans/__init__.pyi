from ckptfmt.plans.casts import converted as converted
from ckptfmt.plans.operations import Cast as Cast
from ckptfmt.plans.plan import Plan as Plan
