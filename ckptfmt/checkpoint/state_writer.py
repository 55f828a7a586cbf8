"""Writing the ``checkpoint`` state file, byte for byte as TensorFlow does.

TensorFlow prints a CheckpointState with protobuf's printer in Python: a line for each value in the order of
the fields, paths in UTF-8 with C's escapes, times in Python's shortest form. Fields that have their default
value are left out. What protobuf is installed does not matter here: some versions escape all but ASCII.
"""

from __future__ import annotations

from ckptfmt.checkpoint.state_file import CheckpointState

_ESCAPED = {
    **{code: f"\\{code:03o}" for code in (*range(32), 127)},
    **{ord(char): f"\\{char}" for char in "\"'\\"},
    ord("\t"): r"\t",
    ord("\n"): r"\n",
    ord("\r"): r"\r",
}
"""Characters -> the escapes that protobuf's printer writes; all others stay as they are."""


def encode_state(state: CheckpointState) -> bytes:
    """Return the content of a state file, the inverse of :func:`~ckptfmt.checkpoint.state_file.read_state`.

    Raises ValueError if a path is not text that UTF-8 can encode.
    """
    lines = []
    if state.model_checkpoint_path:
        lines.append(f"model_checkpoint_path: {_quoted(state.model_checkpoint_path)}\n")
    lines += [f"all_model_checkpoint_paths: {_quoted(path)}\n" for path in state.all_model_checkpoint_paths]
    lines += [
        f"all_model_checkpoint_timestamps: {float(time)!r}\n"
        for time in state.all_model_checkpoint_timestamps
    ]
    preserved = repr(float(state.last_preserved_timestamp))
    if preserved != "0.0":  # protobuf writes -0.0
        lines.append(f"last_preserved_timestamp: {preserved}\n")
    return "".join(lines).encode()


def write_state(state: CheckpointState) -> bytes:
    """Write the state file of a directory, whole or not at all, and return its content.

    Raises
    ------
    ValueError
        A path cannot be written; see :func:`encode_state`.
    NotWritableError
        The system refuses.
    """
    data = encode_state(state)
    with state.fs.create(state.path, overwrite=True) as file:
        file.write(data)
    return data


def check_state_path(path: str) -> None:
    """Raise ValueError if a state file cannot hold a path."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"path: got {path!r}, want text that UTF-8 can encode") from error


def _quoted(path: str) -> str:
    check_state_path(path)
    return f'"{path.translate(_ESCAPED)}"'
