from ckptfmt.plans.plan import Plan as Plan
