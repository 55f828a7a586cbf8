"""Scalars of many events, decoded together by :class:`ckptfmt.events.scalars.decoder.ScalarDecoder`.

A training program logs the same few scalars again and again, so millions of events differ only in a time, a
step and some floats. Decoding them one by one would take a call of protobuf for each. Instead they are
compared and decoded as arrays::

    header      when each event was written and at which step, for all records of a batch
    template    where the scalars are in events of one kind
    cache       the templates and layouts seen so far, and which records of a batch each of them fits
    decoder     batches of records in, columns of numbers out
"""
