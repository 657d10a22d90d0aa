"""What a bundle of `triptych diagnose` may hold: no secret in any spelling, no path of a photo, no vector."""

import json

import pytest

from triptych_gateway.cli.diagnose.redaction import MASK, Redactor, credentials_of, secrets_in

ROOT = "/photos/family"
SECRET = "Xk29-planted-secret"


@pytest.mark.parametrize(
    "line",
    [
        f"connecting to postgresql://triptych:{SECRET}@db:5432/triptych",
        f"connecting to nats://:{SECRET}@broker:4222 failed",
        f"a password with a slash: redis://u:a/{SECRET}@host",
        f"Authorization: Bearer {SECRET}",
        f"headers={{'authorization': 'Basic {SECRET}'}}",
        f"cookie: triptych={SECRET}; other=1",
        f"got bearer {SECRET} from nobody",
        f"password={SECRET}",
        f'{{"password": "{SECRET}", "user": "x"}}',
        f"TRIPTYCH_TOKEN='{SECRET} and more'",
        f"aws_secret_access_key = {SECRET}",
        f"https://bucket/key?X-Amz-Signature={SECRET}&x=1",
        f"made triptych_{SECRET}-A0123456789abcdef0123456789",
        f"eyJhbGciOiJIUzI1NiJ9.{SECRET}.signature",
    ],
)
def test_a_secret_does_not_stay_in_any_of_its_places(line: str) -> None:
    redacted = Redactor().text(line)
    assert SECRET not in redacted
    assert MASK in redacted


def test_a_known_secret_is_found_wherever_it_stands_in_every_spelling() -> None:
    redactor = Redactor(known_secrets={"p@ss/word", "short"})
    assert redactor.text("it says p@ss/word, p%40ss%2Fword and short") == f"it says {MASK}, {MASK} and short"


def test_secrets_of_an_environment_are_its_secret_values_and_passwords_in_addresses() -> None:
    environment = {
        "DATABASE_URL": "postgresql://user:p%40ss@host/db",
        "TRIPTYCH_TOKEN": "the token",
        "OTEL_EXPORTER_OTLP_HEADERS": "key=value",
        "LANG": "C",
    }
    assert secrets_in(environment) == {"p%40ss", "p@ss", "the token", "key=value"}
    assert credentials_of("no address") == set()


@pytest.mark.parametrize(
    "line",
    [
        f"path={ROOT}/Anna und Oma/birthday 1.jpg code=corrupt",
        f"cannot identify image file '{ROOT}/Anna/a.jpg'",
        f"uri=file://{ROOT}/Anna/a.jpg",
        "uri=file:///photos/family/Anna%20B/a.jpg",
        f"{ROOT}/Anna",
        f'{ROOT}/Anna\'s "best" x=1 picture',
        "reading /elsewhere/Anna in summer/IMG 1.HEIC took 3 s",
        "reading 'Anna in summer.png' took 3 s",
        "s3://bucket/Anna/a b.jpg is gone",
        "photo=Anna.jpeg failed",
    ],
)
def test_a_photos_path_does_not_stay_unless_names_are_kept(line: str) -> None:
    assert "Anna" not in Redactor(media_roots=[ROOT]).text(line)
    assert Redactor(media_roots=[ROOT], with_names=True).text(line) == line


def test_a_path_is_one_word_in_a_bundle_and_another_in_the_next() -> None:
    line = f"failed: {ROOT}/a.jpg"
    redactor = Redactor(media_roots=[ROOT])
    assert redactor.text(line) == redactor.text(line) != redactor.text(f"failed: {ROOT}/b.jpg")
    assert Redactor(media_roots=[ROOT]).text(line) != redactor.text(line)


def test_other_directories_are_called_what_they_are_for() -> None:
    redactor = Redactor(places={"/home/anna": "~", "/home/anna/data": "<data directory>"})
    assert redactor.text("/home/anna/data/logs in /home/anna") == "<data directory>/logs in ~"


def test_vectors_and_long_bytes_do_not_stay() -> None:
    vector = ", ".join(str(number / 7) for number in range(128))
    redacted = Redactor().text(f"Failing row contains (1, [{vector}]) and \\x{'0f' * 40}.")
    assert "0.14285" not in redacted
    assert "0f0f" not in redacted
    assert Redactor().text("box [1, 2, 3, 4]") == "box [1, 2, 3, 4]"


def test_what_is_no_secret_stays() -> None:
    line = "2026-11-27T07:00:00Z [info] shard done triptych_progress_events_published_total=12 tokenizers==0.23"
    assert Redactor(media_roots=[ROOT]).text(line) == line


def test_values_are_redacted_inside_of_what_json_holds() -> None:
    value = {
        "TRIPTYCH_TOKEN": "abc",
        "versions": {"tokenizers": "0.23"},
        "roots": [f"{ROOT}/Anna"],
        "count": 3,
        "none": None,
    }
    redacted = Redactor(media_roots=[ROOT]).value(value)
    assert redacted["TRIPTYCH_TOKEN"] == MASK
    assert redacted["versions"] == {"tokenizers": "0.23"}
    assert redacted["count"] == 3
    assert "Anna" not in json.dumps(redacted)
