"""Each manifest against the schema of its kind; unknown fields are wrong."""

import functools
import json
from collections.abc import Iterator
from typing import Any, Final, Literal

import kubernetes_validate
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema.validators import validator_for
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.deployment.manifests import Manifest, called

KUBERNETES: Final = kubernetes_validate.latest_version()


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Fallback(_Strict):
    failureThreshold: int = Field(ge=0)  # noqa: N815 - as KEDA names it
    replicas: int = Field(ge=0)


class _Target(_Strict):
    name: str
    kind: str = "Deployment"


class _PrometheusQuery(_Strict):
    """Fields of KEDA's Prometheus scaler, which its own schema leaves open; all are strings."""

    serverAddress: str = Field(pattern="^https?://")  # noqa: N815
    query: str
    threshold: str = Field(pattern=r"^\d+(\.\d+)?$")
    activationThreshold: str = Field(default="0", pattern=r"^\d+(\.\d+)?$")  # noqa: N815
    ignoreNullValues: Literal["true", "false"] = "true"  # noqa: N815


class _Trigger(_Strict):
    type: Literal["prometheus"]
    metadata: _PrometheusQuery


class ScaledObject(_Strict):
    """The fields of keda.sh/v1alpha1 that are used here."""

    scaleTargetRef: _Target  # noqa: N815
    minReplicaCount: int = Field(ge=0)  # noqa: N815
    maxReplicaCount: int = Field(ge=1)  # noqa: N815
    pollingInterval: int = Field(ge=1)  # noqa: N815
    cooldownPeriod: int = Field(ge=0)  # noqa: N815
    fallback: _Fallback
    triggers: list[_Trigger] = Field(min_length=1)


class _Metadata(_Strict):
    labels: dict[str, str]


class _InitDb(_Strict):
    database: str
    owner: str
    postInitApplicationSQL: list[str]  # noqa: N815


class _Bootstrap(_Strict):
    initdb: _InitDb


class _Reference(_Strict):
    name: str


class _Role(_Strict):
    name: str
    ensure: Literal["present", "absent"]
    login: bool
    passwordSecret: _Reference  # noqa: N815


class _Managed(_Strict):
    roles: list[_Role]


class _Storage(_Strict):
    size: str


class PostgresCluster(_Strict):
    """The fields of postgresql.cnpg.io/v1 that are used here."""

    instances: int = Field(ge=1)
    imageName: str  # noqa: N815
    inheritedMetadata: _Metadata  # noqa: N815
    bootstrap: _Bootstrap
    managed: _Managed
    storage: _Storage
    resources: dict[str, dict[str, str]]


class _IssuerReference(_Strict):
    name: str
    kind: Literal["Issuer", "ClusterIssuer"]


class _PrivateKey(_Strict):
    algorithm: Literal["ECDSA"]
    size: Literal[256, 384, 521]


class Certificate(_Strict):
    """The fields of cert-manager.io/v1 that are used here."""

    secretName: str  # noqa: N815
    issuerRef: _IssuerReference  # noqa: N815
    duration: str = Field(pattern=r"^\d+h$")
    renewBefore: str = Field(pattern=r"^\d+h$")  # noqa: N815
    privateKey: _PrivateKey  # noqa: N815
    isCA: bool = False  # noqa: N815
    commonName: str | None = None  # noqa: N815
    usages: list[Literal["digital signature", "server auth", "client auth"]] = []
    dnsNames: list[str] = []  # noqa: N815


class _SelfSigned(_Strict):
    pass


class _Authority(_Strict):
    secretName: str  # noqa: N815


class Issuer(_Strict):
    """One that signs by itself, or by an authority's secret."""

    selfSigned: _SelfSigned | None = None  # noqa: N815
    ca: _Authority | None = None


CUSTOM: Final[dict[tuple[str, str], type[BaseModel]]] = {
    ("keda.sh/v1alpha1", "ScaledObject"): ScaledObject,
    ("postgresql.cnpg.io/v1", "Cluster"): PostgresCluster,
    ("cert-manager.io/v1", "Certificate"): Certificate,
    ("cert-manager.io/v1", "Issuer"): Issuer,
}


def manifest_problems(manifests: list[Manifest]) -> Iterator[str]:
    """What of each manifest its schema does not allow."""
    for manifest in manifests:
        yield from _problems_of(json.dumps(manifest, sort_keys=True))


@functools.cache
def _problems_of(manifest_json: str) -> tuple[str, ...]:
    # Overlays have most manifests in common, and for each of them all schemas are read anew.
    return tuple(_schema_problems(json.loads(manifest_json)))


def _schema_problems(manifest: Manifest) -> Iterator[str]:
    custom = CUSTOM.get((manifest.get("apiVersion", ""), manifest.get("kind", "")))
    try:
        if custom is not None:
            custom.model_validate(manifest["spec"])
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except ValidationError as error:
        for one in error.errors():
            yield f"{called(manifest)}: spec.{'.'.join(map(str, one['loc']))}: {one['msg']}"
    except kubernetes_validate.ValidationError as error:
        yield f"{called(manifest)}: {'.'.join(map(str, error.path))}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError:
        yield f"{called(manifest)}: no schema is known for {manifest.get('apiVersion')}"


def compose_problems(compose: dict[str, Any]) -> Iterator[str]:
    """What of a compose file the Compose specification does not allow."""
    schema = get_builtin_schema("vendor.compose-spec")
    for error in validator_for(schema)(schema).iter_errors(compose):
        yield f"{'.'.join(map(str, error.path))}: {error.message}"
