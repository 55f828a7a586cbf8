"""Mutators: functions that return a changed input, given a source of random numbers.

Each is for one kind of bytes. Those of structures take mutators of what is inside, and compute the lengths
and checksums around it anew, so that most changes reach the decoder of the inner bytes.
"""
