"""NATS' configuration, as NATS itself reads it, and the certificates of its servers."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.support.certificates import make_certificates
from tools.deployment.manifests import Manifest, called, named, of_kind, our_containers, pod_of
from triptych_common.progress.permissions import authorization, password_variable

_IN_A_STRING: Final = re.compile(r'"[^"\n]*\$(\w+)[^"\n]*"')
_FILE: Final = re.compile(r"\b(cert_file|key_file|ca_file): (\S+)")
_CERTIFICATE: Final = "triptych-nats-tls"
_IN_THE_SECRET: Final = ("tls.crt", "tls.key", "ca.crt")
"""As cert-manager, and `kubectl create secret generic`, name them."""
_ROUTE: Final = re.compile(r"@([\w.-]+):6222")


def broker_problems(manifests: list[Manifest]) -> Iterator[str]:
    """What NATS says of its configuration, given the variables that its container has."""
    configuration = named(manifests, "ConfigMap")["nats"]
    text = configuration["data"]["nats.conf"]
    container = pod_of(named(manifests, "StatefulSet")["nats"])["containers"][0]
    variables = {one["name"]: f"some-{number}" for number, one in enumerate(container["env"])}
    for string in _IN_A_STRING.finditer(text):
        # A subject may begin with a dollar sign.
        if string[1] in variables:
            yield f"{called(configuration)}: NATS fills in no variable inside of a string: {string[0]}"
    if authorization(lambda user: f"${password_variable(user)}") not in text:
        yield f"{called(configuration)}: lets in others than `python -m triptych_common.progress.permissions` writes"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "nats.conf"
        file.write_text(with_certificates(text, Path(folder)))
        tested = subprocess.run(
            [str(Path(sys.executable).with_name("nats-server")), "-t", "--config", str(file)],
            env={"PATH": os.environ["PATH"], **variables},
            capture_output=True,
            text=True,
            check=False,
        )
    if tested.returncode:
        yield f"{called(configuration)}: {tested.stderr.strip()}"
    yield from _encryption_problems(manifests, text)


def with_certificates(configuration: str, folder: Path) -> str:
    """The configuration with certificates that are made for it, in the place of the secret's."""
    if not _FILE.search(configuration):
        return configuration
    made = make_certificates(folder)
    files = {"cert_file": made.certificate, "key_file": made.key, "ca_file": made.authority}
    return _FILE.sub(lambda found: f'{found[1]}: "{files[found[1]]}"', configuration)


def _encryption_problems(manifests: list[Manifest], configuration: str) -> Iterator[str]:
    """Several servers are spoken to by TLS: clients know the authority, and the certificate has the servers' names."""
    server = named(manifests, "StatefulSet")["nats"]
    if server["spec"]["replicas"] == 1:
        return
    pod = pod_of(server)
    if configuration.count("tls {") < len(("clients", "routes")):
        yield f"{called(server)}: is spoken to without TLS, by clients or by another server"
    for _, path in _FILE.findall(configuration):
        if path not in _secret_files(pod, pod["containers"][0]):
            yield f"{called(server)}: {path} is of no secret"
    for container in our_containers(manifests):
        entries = {one["name"]: one.get("value") for one in container.spec.get("env", [])}
        if "NATS_URL" in entries and entries.get("SSL_CERT_FILE") not in _secret_files(
            pod_of(container.workload), container.spec
        ):
            yield f"{container}: does not know the authority of NATS' certificate"
    names = set(_ROUTE.findall(" ".join(pod["containers"][0]["args"])))
    for certificate in of_kind(manifests, "Certificate"):
        spec = certificate["spec"]
        if not spec.get("isCA") and not names <= set(spec["dnsNames"]):
            yield f"{called(certificate)}: is not for {', '.join(sorted(names - set(spec['dnsNames'])))}"


def _secret_files(pod: dict[str, Any], container: dict[str, Any]) -> set[str]:
    """Paths at which a container has files of the secret with NATS' certificate."""
    volumes = {one["name"]: one.get("secret", {}) for one in pod["volumes"]}
    return {
        f"{mount['mountPath']}/{name}"
        for mount in container["volumeMounts"]
        if (secret := volumes.get(mount["name"], {})).get("secretName") == _CERTIFICATE
        for name in [one["path"] for one in secret.get("items", [])] or _IN_THE_SECRET
    }
