"""Messages of split protos (``*.cpb``), loaded when first asked for; see :mod:`ckptfmt.proto.messages`."""

from ckptfmt.proto.pool import lazy_package

__getattr__, __dir__ = lazy_package(__name__, "tensorflow.proto_splitter")
