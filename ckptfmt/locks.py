"""Locks that a forked process finds free.

A fork copies the memory of a process but only one of its threads. A lock that another thread held at that
moment would stay locked forever in the new process. Python reinitialises the locks of its own modules there
(``logging``, ``threading``), and this module does so for those of this package.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

_locks: weakref.WeakSet[Any] = weakref.WeakSet()


def new_lock() -> threading.Lock:
    """Return a lock for threads, free in a forked process."""
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def new_reentrant_lock() -> threading.RLock:
    """Return a lock that its holder may take again, free in a forked process."""
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def _free_all() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()  # as logging does


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)
