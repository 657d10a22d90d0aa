"""The gateway's settings: out of the environment, checked before anything starts."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from triptych_common.errors import ConfigurationError
from triptych_common.store_access import StoreAccess
from triptych_gateway.settings import GatewaySettings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in os.environ:
        if name.startswith(("TRIPTYCH_", "AWS_")) or name in ("DATABASE_URL", "NATS_URL"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:hush@db/triptych")
    return monkeypatch


def read() -> GatewaySettings:
    """The settings as the environment has them."""
    return GatewaySettings()  # type: ignore[call-arg]


def test_a_fresh_install_has_the_contracts_weights_and_port() -> None:
    settings = read()

    assert settings.weights == {"training": 0.30, "face_detection": 0.65, "clustering": 0.05}
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8000)
    assert {"http://localhost:5173", "http://localhost:3000", "http://127.0.0.1:3000"} <= set(settings.cors_origins)


def test_weights_must_add_up_to_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TRIPTYCH_WEIGHT_TRAINING", "0.5")

    with pytest.raises(ValidationError, match="add up to 1"):
        read()

    environment.setenv("TRIPTYCH_WEIGHT_FACE_DETECTION", "0.4")
    environment.setenv("TRIPTYCH_WEIGHT_CLUSTERING", "0.1")
    assert read().weights == {"training": 0.5, "face_detection": 0.4, "clustering": 0.1}


@pytest.mark.parametrize("weight", ["-0.1", "1.1", "nan", "much"])
def test_a_weight_is_a_share(environment: pytest.MonkeyPatch, weight: str) -> None:
    environment.setenv("TRIPTYCH_WEIGHT_TRAINING", weight)

    with pytest.raises(ValidationError):
        read()


def test_lists_are_separated_by_commas(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TRIPTYCH_EMBEDDER_ADDRESSES", "a:1, b:2,,")
    environment.setenv("TRIPTYCH_CORS_ORIGINS", "")

    settings = read()

    assert settings.embedder_addresses == ("a:1", "b:2")
    assert settings.cors_origins == ()


def test_media_roots_are_separated_like_path_and_may_be_uris(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TRIPTYCH_MEDIA_ROOTS", "/a:/b c:s3://bucket/photos")

    assert read().media_roots == ("/a", "/b c", "s3://bucket/photos")


def test_the_store_is_reached_as_environment_and_secrets_say_and_its_keys_are_not_shown(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert read().store_access == StoreAccess()
    environment.setenv("TRIPTYCH_SECRETS_DIR", str(tmp_path))
    environment.setenv("TRIPTYCH_S3_ENDPOINT_URL", "https://minio.example:9000")
    environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    environment.setenv("AWS_SESSION_TOKEN", "")
    (tmp_path / "AWS_ACCESS_KEY_ID").write_text("hush-id\n")
    (tmp_path / "AWS_SECRET_ACCESS_KEY").write_text("hush-key\n")

    settings = GatewaySettings.read()

    assert settings.store_access == StoreAccess(
        endpoint_url="https://minio.example:9000",
        region="eu-central-1",
        access_key_id="hush-id",
        secret_access_key="hush-key",
    )
    assert "hush" not in repr(settings) + repr(settings.store_access)


def test_one_key_without_the_other_is_a_sentence(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ACCESS_KEY_ID", "hush-id")
    with pytest.raises(ValidationError, match="belong together"):
        read()


@pytest.mark.parametrize(
    "url",
    [
        "minio:9000",
        "ftp://minio",
        "http://",
        "https://id:hush@minio",
        "https://minio/path",
        "http://m?x=1",
        "file:///a",
    ],
)
def test_an_endpoint_is_a_server_and_nothing_else(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("TRIPTYCH_S3_ENDPOINT_URL", url)
    with pytest.raises(ValidationError, match="https://host"):
        read()


def test_a_database_is_needed(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("DATABASE_URL")

    with pytest.raises(ValidationError, match="DATABASE_URL"):
        read()


def test_secrets_may_be_in_files_and_the_environment_wins(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.delenv("DATABASE_URL")
    environment.setenv("TRIPTYCH_SECRETS_DIR", str(tmp_path))
    environment.setenv("NATS_URL", "nats://in-the-environment")
    (tmp_path / "DATABASE_URL").write_text("postgresql://in-a-file/triptych\n")
    (tmp_path / "NATS_URL").write_text("nats://in-a-file")

    settings = GatewaySettings.read()

    assert settings.database_url == "postgresql://in-a-file/triptych"
    assert settings.nats_url == "nats://in-the-environment"


def test_a_directory_of_secrets_that_is_not_there_is_told(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("TRIPTYCH_SECRETS_DIR", str(tmp_path / "nowhere"))

    with pytest.raises(ConfigurationError, match="TRIPTYCH_SECRETS_DIR"):
        GatewaySettings.read()


def test_passwords_do_not_show() -> None:
    assert "hush" not in repr(read())


ISSUER = {
    "TRIPTYCH_ACCESS": "tokens",
    "TRIPTYCH_OIDC_ISSUER": "https://login.example/realms/family",
    "TRIPTYCH_OIDC_AUDIENCE": "triptych",
}


def read_with(environment: pytest.MonkeyPatch, variables: Mapping[str, str]) -> GatewaySettings:
    for name, value in variables.items():
        environment.setenv(name, value)
    return read()


def test_an_issuer_is_named_with_whom_its_bearers_are_for(environment: pytest.MonkeyPatch) -> None:
    settings = read_with(environment, ISSUER | {"TRIPTYCH_OIDC_ALGORITHMS": "PS256, EdDSA"})

    assert (settings.oidc_issuer, settings.oidc_audience) == ("https://login.example/realms/family", "triptych")
    assert settings.oidc_algorithms == ("PS256", "EdDSA")
    assert read_with(environment, {"TRIPTYCH_OIDC_ISSUER": "http://127.0.0.1:8080"}).oidc_issuer is not None
    assert read_with(environment, {"TRIPTYCH_OIDC_ISSUER": ""}).oidc_issuer is None


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"TRIPTYCH_OIDC_AUDIENCE": ""}, "TRIPTYCH_OIDC_AUDIENCE"),
        ({"TRIPTYCH_ACCESS": "auto"}, "TRIPTYCH_ACCESS"),
        ({"TRIPTYCH_OIDC_ISSUER": "http://login.example"}, "https"),
        ({"TRIPTYCH_OIDC_JWKS_URL": "http://login.example/keys"}, "https"),
        ({"TRIPTYCH_OIDC_ALGORITHMS": "RS256,HS256"}, "signatures are some of"),
        ({"TRIPTYCH_OIDC_ALGORITHMS": "none"}, "signatures are some of"),
        ({"TRIPTYCH_OIDC_ALGORITHMS": ""}, "signatures are some of"),
    ],
)
def test_an_issuer_that_anybody_could_speak_for_is_refused(
    environment: pytest.MonkeyPatch, wrong: dict[str, str], told: str
) -> None:
    with pytest.raises(ValidationError, match=told):
        read_with(environment, ISSUER | wrong)
