"""Bodies and heads that nobody sends by accident, by name: what must never hurt."""

from collections.abc import Callable

HEAD = b'{"model": "small", "messages": [{"role": "user", "content": "x"}], "x": '
MIB = 1024 * 1024


def _nested(opening: bytes, closing: bytes, depth: int) -> bytes:
    return opening * depth + b"1" + closing * depth


def _string(content: bytes) -> bytes:
    return b'"' + content + b'"'


def _array(item: bytes, count: int) -> bytes:
    return b"[" + b",".join([item] * count) + b"]"


def _keys(count: int, name: bytes = b"k%d") -> bytes:
    keys = (b'"' + (name % n if b"%d" in name else name) + b'":1' for n in range(count))
    return b"{" + b",".join(keys) + b"}"


VALUES: dict[str, Callable[[], bytes]] = {
    **{
        f"{kind} {depth:,} deep": lambda o=o, c=c, d=depth: _nested(o, c, d)  # type: ignore[misc]
        for kind, o, c in (("arrays", b"[", b"]"), ("objects", b'{"a":', b"}"))
        for depth in (100, 1_000, 10_000, 100_000, 1_000_000)
    },
    "arrays and objects 10,000 deep": lambda: _nested(b'[{"a":', b"}]", 10_000),
    "arrays that do not close": lambda: b"[" * 1_000_000,
    "objects that do not close": lambda: b'{"a":' * 1_000_000,
    "brackets that close what is not open": lambda: b"]" * 1_000_000,
    "5,000 digits": lambda: b"9" * 5_000,
    "5,000 digits below zero": lambda: b"-" + b"9" * 5_000,
    "5,000 digits after the point": lambda: b"0." + b"9" * 5_000,
    "1,000,000 digits": lambda: b"9" * 1_000_000,
    "1,000,000 digits after the point": lambda: b"0." + b"3" * 1_000_000,
    "1e999": lambda: b"1e999",
    "-1e999": lambda: b"-1e999",
    "1e-999": lambda: b"1e-999",
    "an exponent of 5,000 digits": lambda: b"1e" + b"9" * 5_000,
    "2^64": lambda: b"18446744073709551616",
    "-2^63 - 1": lambda: b"-9223372036854775809",
    "NaN": lambda: b"NaN",
    "Infinity": lambda: b"Infinity",
    "-Infinity": lambda: b"-Infinity",
    "a leading zero": lambda: b"012",
    "a plus": lambda: b"+1",
    "hexadecimal": lambda: b"0x10",
    "a lone high surrogate": lambda: _string(b"\\ud800"),
    "a lone low surrogate": lambda: _string(b"\\udc00"),
    "surrogates the wrong way round": lambda: _string(b"\\udc00\\ud800"),
    "a lone surrogate as a key": lambda: b'{"\\ud800": 1}',
    "a surrogate in UTF-8": lambda: _string(b"\xed\xa0\x80"),
    "an overlong slash": lambda: _string(b"\xc0\xaf"),
    "half a character": lambda: _string(b"\xe2\x82"),
    "bytes that are no UTF-8": lambda: _string(b"\xff\xfe"),
    "a NUL, escaped": lambda: _string(b"\\u0000"),
    "a NUL, raw": lambda: _string(b"\x00"),
    "a NUL between values": lambda: b"1\x00",
    "a line end in a string": lambda: _string(b"\n"),
    "an unknown escape": lambda: _string(b"\\x41"),
    "a comment": lambda: b"1 /* one */",
    "single quotes": lambda: b"'x'",
    "the same key twice": lambda: b'{"a": 1, "a": 2}',
    "the same key 100,000 times": lambda: _keys(100_000, b"k"),
    "100,000 keys": lambda: _keys(100_000),
    "an empty key": lambda: b'{"": 1}',
    "a key of 1 MB": lambda: b'{"' + b"k" * MIB + b'": 1}',
    "__proto__": lambda: b'{"__proto__": {"a": 1}, "constructor": {"prototype": {}}}',
    "1,000,000 numbers": lambda: _array(b"1", 1_000_000),
    "1,000,000 long numbers": lambda: _array(b"0.1234567890123456789", 1_000_000),
    "1,000,000 empty arrays": lambda: _array(b"[]", 1_000_000),
    "10,000,000 empty arrays": lambda: _array(b"[]", 10_000_000),
    "5,000,000 empty objects": lambda: _array(b"{}", 5_000_000),
    "1,000,000 strings": lambda: _array(b'"a"', 1_000_000),
    "31 MB of letters": lambda: _string(b"a" * 31 * 1_000_000),
    "31 MB of digits in a string": lambda: _string(b"1" * 31 * 1_000_000),
    "31 MB of escapes": lambda: _string(b"\\u0041" * 5_100_000),
    "31 MB of backslashes": lambda: _string(b"\\\\" * 15_500_000),
    "31 MB of quotes": lambda: _string(b'\\"' * 15_500_000),
    "31 MB of commas in a string": lambda: _string(b"," * 31_000_000),
    "31 MB of brackets in a string": lambda: _string(b"[]" * 15_500_000),
    "31 MB of spaces": lambda: b" " * 31_000_000 + b"1",
}
BODIES: dict[str, Callable[[], bytes]] = {
    **{name: lambda made=made: HEAD + made() + b"}" for name, made in VALUES.items()},  # type: ignore[misc]
    "a byte-order mark": lambda: b"\xef\xbb\xbf" + HEAD + b"1}",
    "UTF-16": lambda: (HEAD + b"1}").decode().encode("utf-16"),
    "UTF-16 without a mark": lambda: (HEAD + b"1}").decode().encode("utf-16-le"),
    "UTF-32": lambda: (HEAD + b"1}").decode().encode("utf-32"),
    "nothing": lambda: b"",
    "31 MB of nothing": lambda: b" " * 31_000_000,
    "two values": lambda: HEAD + b"1}" + HEAD + b"1}",
    "the model twice": lambda: b'{"model": "small", "model": "large", "messages": []}',
    "messages 100,000 long": lambda: (
        b'{"model": "small", "messages": '
        + _array(b'{"role":"user","content":"x"}', 100_000)
        + b"}"
    ),
}
