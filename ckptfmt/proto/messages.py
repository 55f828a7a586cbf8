"""Messages and enums of package ``tensorflow``, loaded when first asked for.

::

    from ckptfmt.proto.messages import BundleEntryProto, DataType

The classes are protobuf's usual ones; ``messages.pyi`` declares them for type checkers. A value of an enum is
read as ``DataType.DT_FLOAT``, or as an attribute of the message in which the enum is nested.
"""

from ckptfmt.proto.pool import lazy_package

__getattr__, __dir__ = lazy_package(__name__, "tensorflow")
