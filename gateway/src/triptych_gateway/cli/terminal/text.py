"""Makes any text safe to show on a terminal: file names come from anywhere."""

import unicodedata

_BIDIRECTIONAL_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ESCAPED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_NAMED_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}
_FIRST_ESCAPED_BYTE, _LAST_ESCAPED_BYTE = 0xDC80, 0xDCFF


def printable(text: str) -> str:
    r"""`text` on one line, with all that could steer a terminal or fail to encode written as an escape.

    Control characters, line separators and marks that reverse the direction of writing become `\x1b`, `\u202e` …;
    a byte that is not UTF-8 (Python's surrogateescape, PEP 383) becomes `\xff`; any other lone surrogate `\ud800`.
    A backslash is doubled, so that two different names never look the same.
    """
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    named = _NAMED_ESCAPES.get(character)
    if named is not None:
        return named
    if character not in _BIDIRECTIONAL_CONTROLS and unicodedata.category(character) not in _ESCAPED_CATEGORIES:
        return character
    code = ord(character)
    if _FIRST_ESCAPED_BYTE <= code <= _LAST_ESCAPED_BYTE:
        return f"\\x{code - 0xDC00:02x}"
    # C1 controls are written as code points: `\x85` already stands for the byte that is not UTF-8.
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"
