"""Secrets of an installation under Compose: made at its first start, once, and known to those that need them."""

from tests.compose.composition import Composition
from tests.compose.conftest import printed_tokens


def test_an_administrator_s_token_is_printed_at_the_first_start_and_never_again(
    compose: Composition, first_token: str
) -> None:
    assert compose("run", "--rm", "-T", "first-token") == ""
    compose.start()
    assert printed_tokens(compose) == [first_token]


def test_passwords_are_made_once_and_the_database_is_known_to_the_gateway_alone(compose: Composition) -> None:
    before = compose("exec", "-T", "gateway", "cat", "/run/triptych/DATABASE_URL", "/run/triptych/NATS_URL")
    compose("run", "--rm", "--no-deps", "secrets")
    assert compose("exec", "-T", "gateway", "cat", "/run/triptych/DATABASE_URL", "/run/triptych/NATS_URL") == before

    for service in ("embedder", "facedetect", "cluster", "progress"):
        known = compose("exec", "-T", service, "ls", "/run/triptych").split()
        assert set(known) == {"NATS_URL", "TRIPTYCH_SERVICE_TOKEN"}
        assert f"//{service}:" in compose("exec", "-T", service, "cat", "/run/triptych/NATS_URL")
