"""Messages parsed from bytes and text; damage is always a CorruptError."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfmt.errors import CorruptError
from ckptfmt.proto import messages
from ckptfmt.proto.parse import MAX_DEPTH, format_text, parse_message, parse_text

SAVER = messages.SaverDef(filename_tensor_name="save/Const:0", version="V2")


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def nested(levels: int) -> bytes:
    """A FullTypeDef in the args of a FullTypeDef in the args of …"""
    data = b""
    for _ in range(levels):
        data = b"\x12" + varint(len(data)) + data
    return data


def nested_any(levels: int) -> messages.MetaGraphDef:
    """An Any in an Any in …: each is a message of its own, so no depth limit of a parser sees them all."""
    info = messages.MetaGraphDef.MetaInfoDef()
    value = info.any_info
    for _ in range(levels):
        outer = type(value)()
        outer.Pack(value)
        value = outer
    info.any_info.CopyFrom(value)
    return messages.MetaGraphDef(meta_info_def=info)


def encoded(message: messages.MetaGraphDef) -> bytes:
    """For comparing: ``==`` of protobuf in pure Python looks for what an Any holds in the default pool."""
    return message.SerializeToString(deterministic=True)


def rich_message() -> messages.MetaGraphDef:
    meta = messages.MetaGraphDef(saver_def=SAVER)
    meta.meta_info_def.any_info.Pack(messages.GraphDef(version=3))
    node = meta.graph_def.node.add(name="größe", op="Const")
    node.attr["s"].s = b"\xff\n\"'"
    node.attr["value"].tensor.float_val.extend([0.1, float("inf")])
    meta.graph_def.debug_info.frames_by_id[7].line = 3
    meta.collection_def["variables"].bytes_list.value.append(b"\0")
    return meta


@pytest.mark.parametrize("kind", [bytes, memoryview], ids=["bytes", "memoryview"])
def test_binary_is_decoded(kind: type[bytes] | type[memoryview]) -> None:
    data = kind(SAVER.SerializeToString())
    assert parse_message(messages.SaverDef, data, "model.meta") == SAVER


@pytest.mark.parametrize(
    "text", ['version: V2 filename_tensor_name: "a"', b"filename_tensor_name:'a',version:2"]
)
def test_text_is_parsed(text: str | bytes) -> None:
    want = messages.SaverDef(filename_tensor_name="a", version=2)
    assert parse_text(messages.SaverDef, text, "saver.pbtxt") == want


def test_text_has_all_spellings_of_the_format() -> None:
    text = r"""
        node { name: "a" 'b' op: 'No\117p' input: ["x", "^y"] }   # comment { { {
        node: < attr: { key: "i" value { i: 0x10 } }; attr { key: "f" value { f: -inf } }, >
        node { attr { key: "t" value { tensor { tensor_content: "\000\377{" bool_val: [t, false, 1] } } } }
        node { attr { key: "d" value { list { type: [DT_FLOAT, 14, 999] } } } name: "\u00e9\xc3\xa9\n" }
    """
    first, second, third, fourth = parse_text(messages.GraphDef, text, "graph.pbtxt").node
    assert (first.name, first.op, [*first.input]) == ("ab", "NoOp", ["x", "^y"])
    assert (second.attr["i"].i, second.attr["f"].f) == (16, float("-inf"))
    assert third.attr["t"].tensor.tensor_content == b"\x00\xff{"
    assert third.attr["t"].tensor.bool_val == [True, False, True]
    assert fourth.attr["d"].list.type == [1, 14, 999]
    assert fourth.name == "éé\n"


@pytest.mark.parametrize(
    ("escaped", "want"),
    [
        (r"\u00e9", "é"),
        (r"\u00c3\u00a9", "Ã©"),
        (r"\U0001F600!", "😀!"),
        (r"\ud83d\ude00", "😀"),
        (r"\\u00e9", r"\u00e9"),
        (r"\\\u00e9\n", "\\é\n"),
    ],
)
def test_escaped_code_points_are_utf8_in_strings_and_bytes(escaped: str, want: str) -> None:
    text = f"value {{ s: '{escaped}' }} key: '{escaped}' # {escaped}"
    node = parse_text(messages.NodeDef, f"attr {{ {text} \n}}", "x")
    assert {key: value.s for key, value in node.attr.items()} == {want: want.encode()}


@pytest.mark.parametrize(
    "escape", [r"\ud83d", r"\ude00\ud83d", r"\U00110000", r"\UFFFFFFFF", r"\u12", r"\U0001F60"]
)
def test_escapes_that_name_no_code_point_are_corrupt(escape: str) -> None:
    with pytest.raises(CorruptError):
        parse_text(messages.NodeDef, f"name: '{escape}'", "x")


def test_text_expands_any_from_the_private_pool() -> None:
    text = "meta_info_def { any_info { [type.googleapis.com/tensorflow.AssetFileDef] { filename: 'a' } } }"
    any_info = parse_text(messages.MetaGraphDef, text, "x").meta_info_def.any_info
    assert any_info.type_url == "type.googleapis.com/tensorflow.AssetFileDef"
    assert any_info.value == messages.AssetFileDef(filename="a").SerializeToString()


def test_formatted_text_reads_back() -> None:
    meta = rich_message()
    text = format_text(meta)
    assert "[type.googleapis.com/tensorflow.GraphDef]" in text
    assert 'name: "größe"' in text
    assert r's: "\377\n\"\'"' in text
    assert encoded(parse_text(messages.MetaGraphDef, text, "x")) == encoded(meta)


def test_formatted_text_has_no_characters_that_control_a_terminal() -> None:
    node = messages.NodeDef(name="".join(map(chr, range(32))) + "\x7f1 é\x9b31m\u202e\u2066\ufeff\U000e0001")
    text = format_text(node)
    assert text.replace("\n", "").isprintable()
    assert text.count("\n") == 1
    assert parse_text(messages.NodeDef, text, "x") == node


def test_formatting_leaves_an_any_that_cannot_be_decoded_as_bytes() -> None:
    meta = messages.MetaGraphDef()
    meta.meta_info_def.any_info.type_url = "type.googleapis.com/tensorflow.GraphDef"
    meta.meta_info_def.any_info.value = b"\x12\xff"
    assert r'value: "\022\377"' in format_text(meta)
    assert encoded(parse_text(messages.MetaGraphDef, format_text(meta), "x")) == encoded(meta)


def test_formatting_an_any_in_an_any_a_thousand_times_does_not_recurse() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)  # Python's own; libraries raise it
    try:
        assert "type_url:" in format_text(nested_any(1_000))
    finally:
        sys.setrecursionlimit(limit)


def test_the_depth_limit_of_bytes_and_text_is_that_of_protobuf() -> None:
    deepest = parse_message(messages.FullTypeDef, nested(MAX_DEPTH), "x")
    assert parse_text(messages.FullTypeDef, format_text(deepest), "x") == deepest
    assert deepest.SerializeToString() == nested(MAX_DEPTH)


BROKEN_BINARY = {
    "garbage": (b"\xff\xff\xff\xff\xff\xff", 0, "ends in the tag of a field: got 6 bytes, want 7"),
    "truncated": (SAVER.SerializeToString()[:-1], 15, "ends in field version: got 0 bytes, want 1"),
    "truncated length": (
        b"\x0a\xff",
        1,
        "ends in the length of field filename_tensor_name: got 1 bytes, want 2",
    ),
    "length past the end": (b"\x0a\x7fx", 2, "ends in field filename_tensor_name: got 1 bytes, want 127"),
    "length of 2 GiB": (
        b"\x0a\xff\xff\xff\xff\x07x",
        6,
        "ends in field filename_tensor_name: got 1 bytes, want 2147483647",
    ),
    "varint without end": (b"\x20" + b"\x80" * 11, 1, "varint longer than 10 bytes"),
    "field number 0": (b"\x00\x01", 0, "field number 0 in a tag of 1 bytes"),
    "wire type 7": (b"\x0f", 0, "field 1 has wire type 7"),
    "group without end": (b"\x0b", 0, "field 1 has wire type 3"),
    "end without group": (b"\x0c", 0, "field 1 has wire type 4"),
    "text instead": (b'filename_tensor_name: "a"', 0, "field 12 has wire type 6"),
    "string not UTF-8": (b"\x0a\x01\xff", 2, "field filename_tensor_name: not UTF-8"),
    "string with a surrogate": (b"\x0a\x03\xed\xa0\x80", 2, "field filename_tensor_name: not UTF-8"),
}


@pytest.mark.parametrize(("data", "offset", "what"), BROKEN_BINARY.values(), ids=BROKEN_BINARY.keys())
def test_broken_binary_is_corrupt_at_its_field(data: bytes, offset: int, what: str) -> None:
    with pytest.raises(CorruptError) as caught:
        parse_message(messages.SaverDef, data, "model.meta", 100)
    assert str(caught.value) == (f"model.meta @0x{100 + offset:x}: not a tensorflow.SaverDef message: {what}")
    assert (caught.value.file, caught.value.offset) == ("model.meta", 100 + offset)
    assert caught.value.__cause__ is not None


def test_damage_in_bytes_that_a_file_has_in_another_form_has_no_offset() -> None:
    with pytest.raises(CorruptError) as caught:
        parse_message(messages.SaverDef, b"\x0a\x01\xff", "model.meta", None)
    assert caught.value.offset is None


@pytest.mark.parametrize(
    "data", [b"\x1a\x01\xff", b"\x2a\x05\x0a\x01\xff\x12\x00"], ids=["repeated", "map key"]
)
def test_names_that_are_not_utf8_are_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptError):
        parse_message(messages.NodeDef, data, "graph.pb")


def test_deep_binary_is_corrupt() -> None:
    started = time.perf_counter()
    with pytest.raises(CorruptError) as caught:
        parse_message(messages.FullTypeDef, nested(10_000), "graph.pb")
    assert str(caught.value) == (
        "graph.pb @0x4: not a tensorflow.FullTypeDef message: "
        "field args[0]: messages nested more than 100 deep"
    )
    assert time.perf_counter() - started < 1


BROKEN_TEXT = {
    "garbage": ("\x01\x02", "line 1, column 1:"),
    "unknown field": (
        '\nfilename_tensor_nam: "a"',
        'line 2, column 1: .*no field named "filename_tensor_nam"',
    ),
    "unknown enum value": ("version: V3", "line 1, column 10: .* has no value named V3"),
    "unknown extension": ("[tensorflow.more]: 1", "line 1, column 13: .* does not have extensions"),
    "no value": ("version:", ""),
    "string not closed": ('filename_tensor_name: "a', "line 1, column 23:"),
    "string in two lines": ('filename_tensor_name: "a\nb"', "line 1, column 23:"),
    "string escaped to no UTF-8": (r'filename_tensor_name: "\377"', ""),
    "hexadecimal escape without digits": (r'filename_tensor_name: "\x"', "line 1, column 23:"),
    "given twice": ("version: V1 version: V2", "line 1, column 22: .* multiple"),
    "number too large": ("max_to_keep: 2147483648", "line 1, column 14:"),
    "number of 5,000 digits": ("max_to_keep: " + "9" * 5_000, ""),
    "message for a scalar": ("max_to_keep { }", "line 1, column 13:"),
    "scalar instead of a name": ("3", "line 1, column 1:"),
    "brace too many": ("sharded: true }", "line 1, column 15:"),
}


@pytest.mark.parametrize(("text", "place"), BROKEN_TEXT.values(), ids=BROKEN_TEXT.keys())
def test_broken_text_is_corrupt(text: str, place: str) -> None:
    for form in (text, text.encode()):
        with pytest.raises(
            CorruptError, match=f"^saver.pbtxt: not a tensorflow.SaverDef message: {place}"
        ) as caught:
            parse_text(messages.SaverDef, form, "saver.pbtxt")
        assert (caught.value.file, caught.value.offset) == ("saver.pbtxt", None)
        assert caught.value.__cause__ is not None


def test_errors_stay_short_and_printable() -> None:
    text = 'filename_tensor_name: "\x1b[31m", ' + " " * 1_000_000 + "oops: 1"
    with pytest.raises(CorruptError) as caught:
        parse_text(messages.SaverDef, text, "saver.pbtxt")
    assert len(str(caught.value)) < 600
    with pytest.raises(
        CorruptError, match=r"line 1, column 23: String missing ending quote: .*\\x1b"
    ) as caught:
        parse_text(messages.SaverDef, text.replace('",', ","), "saver.pbtxt")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_text_that_is_not_utf8_is_corrupt_at_its_first_bad_byte() -> None:
    with pytest.raises(CorruptError) as caught:
        parse_text(messages.SaverDef, b'# \xff\nfilename_tensor_name: "a"', "saver.pbtxt")
    assert (caught.value.file, caught.value.offset) == ("saver.pbtxt", 2)


@pytest.mark.parametrize("escape", [r"\q", r"\N{BULLET}", r"\400", r"\777"])
def test_invalid_escapes_are_corrupt(escape: str) -> None:
    text = f"# \"\nfilename_tensor_name: '\\\\\\1\\n{escape}'"
    with pytest.raises(CorruptError, match=r"line 2, column 30: bad escape "):
        parse_text(messages.SaverDef, text, "saver.pbtxt")


def test_text_with_surrogates_is_corrupt() -> None:
    with pytest.raises(CorruptError, match="message: line 1: not UTF-8"):
        parse_text(messages.SaverDef, "version: \ud800", "saver.pbtxt")


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 10_000])
@pytest.mark.parametrize("brackets", [("{", "}"), ("<", ">")], ids=["braces", "angles"])
def test_deep_text_is_corrupt(levels: int, brackets: tuple[str, str]) -> None:
    opening, closing = brackets
    with pytest.raises(
        CorruptError, match=r"^x: .* line 101, column 6: nested deeper than 100 messages"
    ) as caught:
        parse_text(messages.FullTypeDef, f"args {opening}\n" * levels + closing * levels, "x")
    assert caught.value.file == "x"


def test_deep_text_in_an_any_is_corrupt() -> None:
    head = "serialized_user_proto { [type.googleapis.com/tensorflow.FullTypeDef] {"
    with pytest.raises(CorruptError, match="nested deeper"):
        parse_text(messages.SavedObject, head + "args {" * 10_000 + "}" * 10_002, "x")


@pytest.mark.parametrize("quote", ['"', "'"])
def test_brackets_in_strings_and_comments_do_not_count_as_depth(quote: str) -> None:
    brackets = "{<" * 1_000
    text = f"# {brackets}{quote}\nname: {quote}{brackets}\\{quote}{brackets}{quote} # {brackets}"
    other = "'" if quote == '"' else '"'
    text += f"\nop: {quote}{other}{brackets}{quote}"
    node = parse_text(messages.NodeDef, text, "x")
    assert (node.name, node.op) == (brackets + quote + brackets, other + brackets)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_message_or_corrupt(data: bytes) -> None:
    try:
        message = parse_message(messages.MetaGraphDef, data, "x")
    except CorruptError:
        return
    format_text(message)


@given(data=st.data())
def test_damaged_messages_are_messages_or_corrupt(data: st.DataObject) -> None:
    whole = rich_message().SerializeToString()
    at = data.draw(st.integers(0, len(whole)))
    broken = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + data.draw(st.integers(0, 4)) :]
    try:
        message = parse_message(messages.MetaGraphDef, broken, "x")
    except CorruptError:
        return
    format_text(message)


@given(data=st.data())
def test_damaged_text_is_a_message_or_corrupt(data: st.DataObject) -> None:
    whole = format_text(rich_message())
    at = data.draw(st.integers(0, len(whole)))
    broken = whole[:at] + data.draw(st.text("{}<>[]:;,\"'\\#\nxu019-.é", max_size=6))
    broken += whole[at + data.draw(st.integers(0, 4)) :]
    try:
        message = parse_text(messages.MetaGraphDef, broken, "x")
    except CorruptError:
        return
    format_text(message)


@pytest.mark.parametrize("after", ["", "x41", "n", "0", "134", '"', "u0041", "\n"])
@pytest.mark.parametrize("number", [1, 2, 31, 32, 33, 63, 64, 65, 1001])
def test_a_run_of_backslashes_is_read_as_it_was_written(number: int, after: str) -> None:
    node = messages.NodeDef(name="a" + "\\" * number + after)
    assert parse_text(messages.NodeDef, format_text(node), "x") == node


@pytest.mark.parametrize(
    ("number", "after", "name"), [(129, "x41", "A"), (129, "101", "A"), (128, "x41", "x41")]
)
def test_an_escape_after_a_run_of_backslashes_is_one_if_they_are_odd(
    number: int, after: str, name: str
) -> None:
    text = 'name: "' + "\\" * number + after + '"'
    assert parse_text(messages.NodeDef, text, "x").name == "\\" * (number // 2) + name


def test_a_million_backslashes_are_read_in_time() -> None:
    start = time.monotonic()
    node = messages.NodeDef(name="\\" * 1_000_000)
    assert parse_text(messages.NodeDef, format_text(node), "x") == node
    assert time.monotonic() - start < 60  # a second here, an hour if the work were quadratic
