from ckptfmt.integrity.report import Progress as Progress
from ckptfmt.integrity.report import Report as Report
from ckptfmt.integrity.verify import verify_store as verify_store
