"""Names with every byte that a file's name may have, and those that look like something else."""

from collections.abc import Sequence
from typing import Final

_AWKWARD: Final[Sequence[str]] = (
    *("-rf.jpg", "--help.jpg", "-.jpg", " .jpg", "a .jpg", " a.jpg", "~.jpg", "~root.jpg", "a.jpg.jpg", "a..jpg"),
    *(
        "%2F.jpg",
        "%2e%2e%2fphoto.jpg",
        "%00.jpg",
        "%.jpg",
        "%zz.jpg",
        "a%20b+c&d=e?f#g.jpg",
        "a;b.jpg",
        "?.jpg",
        "#.jpg",
    ),
    *(r"\xff.jpg", r"\x41.jpg", r"\udcff.jpg", r"\n.jpg", r"\0.jpg", r"..\..\photo.jpg", r"C:\photo.jpg", "\\.jpg"),
    *("file:..photo.jpg", "s3:photo.jpg", "http:photo.jpg", "CON.jpg", "NUL.jpg", "aux.jpg", "$(id).jpg", "`id`.jpg"),
    *(
        "';DROP TABLE assets;--.jpg",
        '"; SELECT 1 --.jpg',
        "%' OR 1=1.jpg",
        "a_b%c.jpg",
        "$1.jpg",
        ":name.jpg",
        "NULL.jpg",
    ),
    *("<script>alert(1)<script>.jpg", '"><img src=x onerror=alert(1)>.jpg', "&amp;.jpg", "{{7*7}}.jpg", "${7*7}.jpg"),
    *(
        "%s%n%d.jpg",
        "{}.jpg",
        "{0.__class__}.jpg",
        "NaN.jpg",
        "Infinity.jpg",
        "-1.jpg",
        "1e9999.jpg",
        "true.jpg",
        "[].jpg",
    ),
    *(
        "\u202egpj.exe.jpg",
        "\u2066a\u2069.jpg",
        "\ufeffa.jpg",
        "a\u200bb.jpg",
        "\u2028.jpg",
        "\u0085.jpg",
        "\u00a0.jpg",
    ),
    *("é.jpg", "e\u0301.jpg", "Å.jpg", "Å.jpg", "ﬁ.jpg", "İ.jpg", "ß.jpg", "a" + "\u0335\u0489" * 60 + ".jpg"),
    *(
        "\U0001f469\u200d\U0001f469\u200d\U0001f467.jpg",
        "\U0010ffff.jpg",
        "\ufffe.jpg",
        "\uffff.jpg",
        "日本語.jpg",
        "שלום.jpg",
    ),
    *(
        "UPPER.JPG",
        "Mixed.JpEg",
        "..photo.jpg"[1:] + ".jpg",
        "a" * 251 + ".jpg",
        "é" * 125 + ".jpg",
        "a\x1b[31mred.jpg",
    ),
)
_NOT_UTF_8: Final[Sequence[bytes]] = (
    *(
        b"\xff.jpg",
        b"\xed\xa0\x80.jpg",
        b"\xed\xb3\xbf.jpg",
        b"\xc0\xaf.jpg",
        b"\xc0\xae\xc0\xae.jpg",
        b"\xf4\x90\x80\x80.jpg",
    ),
    *(
        b"cut \xe2\x82.jpg",
        b"\xfe\xff\0x".replace(b"\0", b"") + b".jpg",
        b"\xff" * 251 + b".jpg",
        "Größe.jpg".encode("latin-1"),
    ),
)


def awkward_names() -> list[bytes]:
    """Names of photos: one with each byte but NUL and the slash, and what else makes trouble."""
    of_each_byte = [b"byte %02x %c.jpg" % (byte, byte) for byte in range(1, 256) if byte != ord("/")]
    named = [name.encode() for name in _AWKWARD]
    # Hidden files are no photos to discovery.
    return list(dict.fromkeys(name for name in (*of_each_byte, *named, *_NOT_UTF_8) if not name.startswith(b".")))


def awkward_directories() -> list[bytes]:
    """Names of directories."""
    named = [name.removesuffix(".jpg").encode() for name in _AWKWARD]
    raw = [name.removesuffix(b".jpg") for name in _NOT_UTF_8]
    single = [b"d%c" % byte for byte in (*range(1, 32), 127, *b"\"'\\*?:<>|%#&+;= ~")]
    wanted = (*single, *named, *raw, b"directory.jpg", b"trailing.", b"trailing ")
    return list(dict.fromkeys(name for name in wanted if name and not name.startswith(b".")))
