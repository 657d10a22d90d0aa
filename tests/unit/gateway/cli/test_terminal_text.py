"""Names from anywhere never steer a terminal."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.cli.terminal.text import printable


def test_controls_and_bytes_that_are_not_utf8_are_escaped() -> None:
    assert printable("a\x1b[31mred\n.jpg") == r"a\x1b[31mred\n.jpg"
    assert printable(b"caf\xe9.jpg".decode(errors="surrogateescape")) == r"caf\xe9.jpg"
    assert printable("\ud800\x85\u2028") == r"\ud800\u0085\u2028"


def test_a_name_cannot_reverse_the_line_it_stands_in() -> None:
    assert printable("photo\u202egpj.exe") == r"photo\u202egpj.exe"


def test_ordinary_names_of_any_script_stay_as_they_are() -> None:
    family = "👨\u200d👩\u200d👧 été 写真.jpg"
    assert printable(family) == family


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_what_comes_out_encodes_and_holds_no_control(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}


@given(*[st.text(alphabet="a\\xn\n\x1b\udc85\x85u0")] * 2)
def test_two_names_never_look_the_same(first: str, second: str) -> None:
    assert (printable(first) == printable(second)) == (first == second)
