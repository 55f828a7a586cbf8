"""Scalars of many events, decoded at once: the door is :class:`ckptfmt.events.scalars.decoder.ScalarDecoder`.

A training program logs the same few scalars again and again, so millions of events differ only in a time, a
step and some floats. Decoding them one by one is a call of protobuf for each; here they are compared and
decoded as arrays::

    header      when each event was written and at which step, for all records of a batch
    template    where the scalars lie in events of one kind
    cache       the templates and tags met so far, and which records of a batch each fits
    decoder     batches of records in, columns of numbers out
"""
