"""Fuzzing: bytes that no writer wrote give the right value or an error of ours, in bounded time and memory.

``target`` says what a target is, and ``targets`` has one for each decoder. ``mutate`` changes inputs so that
they stay well formed as far as a decoder checks. ``inputs`` keeps every input that ever failed.
``python -m tests.fuzz`` runs the targets under atheris, which looks for inputs that take new branches;
``test_kept_inputs`` does without.
"""
