"""Sorted string tables: immutable files of byte-string keys and values, derived from LevelDB's.

::

    data block · trailer   …   metaindex block · trailer   index block · trailer   footer, 48 bytes

``format`` finds and checks blocks, ``compression`` packs and unpacks them, ``block`` decodes the entries of
one, and ``table`` finds a key among them. ``writer`` writes whole tables.
"""

from ckptfmt.table.table import Table as Table
