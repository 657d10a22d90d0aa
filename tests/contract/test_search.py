"""Searching while no embedder answers: what is refused, and how."""

import httpx
import pytest

SEARCH = "/api/v1/search"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": "a dog", "assetId": 1},
        {"text": ""},
        {"text": "a\0b"},
        {"text": "x" * 1001},
        {"assetId": 0},
        {"assetId": 2**63},
        {"text": "a dog", "limit": 0},
        {"text": "a dog", "limit": 101},
        {"text": "a dog", "personId": 0},
        {"text": "a dog", "sessionId": 0},
        {"text": "a dog", "sessionId": 2**63},
        [],
        "a dog",
    ],
    ids=str,
)
def test_a_wrong_body_is_422(client: httpx.Client, body: object) -> None:
    answer = client.post(SEARCH, json=body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_what_is_no_json_is_422(client: httpx.Client, content: bytes) -> None:
    answer = client.post(SEARCH, content=content, headers={"content-type": "application/json"})

    assert answer.status_code == 422


def test_an_unknown_photo_is_404(client: httpx.Client) -> None:
    answer = client.post(SEARCH, json={"assetId": 2**62})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_text_and_pictures_need_the_embedder_and_say_so(client: httpx.Client) -> None:
    for answer in (
        client.post(SEARCH, json={"text": "a dog"}),
        client.post(SEARCH, files={"image": ("a.jpg", b"x", "image/jpeg")}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_away")
        assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    "form",
    [{"data": {"limit": "0"}}, {"data": {"limit": "many"}}, {"data": {"personId": "-1"}}, {"data": {"sessionId": "x"}}],
)
def test_a_form_with_a_wrong_field_is_422(client: httpx.Client, form: dict[str, dict[str, str]]) -> None:
    answer = client.post(SEARCH, files={"image": ("a.jpg", b"x", "image/jpeg")}, **form)  # type: ignore[arg-type]

    assert answer.status_code == 422


def test_a_form_without_a_picture_or_cut_short_is_refused(client: httpx.Client) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    field = b'--x\r\nContent-Disposition: form-data; name="limit"\r\n\r\n5\r\n--x--\r\n'
    without = client.post(SEARCH, content=field, headers=headers)
    broken = client.post(SEARCH, content=b"nonsense", headers=headers)

    assert without.status_code == broken.status_code == 422
    assert "image" in without.json()["message"]


def test_a_picture_beyond_the_limit_is_413_whether_or_not_its_size_is_declared(client: httpx.Client) -> None:
    half = b"x" * (17 * 2**20)
    declared = client.post(SEARCH, files={"image": ("a.jpg", half + half, "image/jpeg")})

    def stream() -> object:
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        yield half
        yield half
        yield b"\r\n--x--\r\n"

    undeclared = client.post(
        SEARCH,
        content=stream(),  # type: ignore[arg-type]
        headers={"content-type": "multipart/form-data; boundary=x"},
    )

    assert declared.status_code == undeclared.status_code == 413
    assert declared.json()["error"]["code"] == "body_too_large"
