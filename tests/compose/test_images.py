"""What images are: labelled, watched, without root, and with nothing to build or to write with."""

from typing import Final

import pytest

from tests.compose.composition import OURS, Composition

IMAGES: Final = {
    **{f"triptych/{name}:0.1.0": f"triptych-{name}" for name in OURS},
    "triptych/samples:0.1.0": "triptych-gateway",
    "triptych/gateway:0.1.0-backup": "triptych-gateway",
}
"""Each image that Compose builds, with its title."""
WITHOUT_SERVICE: Final = ("triptych/samples:0.1.0", "triptych/gateway:0.1.0-backup")
BUILD_TOOLS: Final = "gcc cc g++ make cmake ld npm node git"


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_says_what_it_is_and_whether_it_is_well(compose: Composition, image: str) -> None:
    known = compose.image(image)["Config"]
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in known["Labels"].items()}
    assert (labels["title"], labels["version"], labels["licenses"]) == (IMAGES[image], "0.1.0", "Apache-2.0")
    assert labels["description"]
    assert labels["revision"]
    assert known["User"] == "10001:10001"
    watched = known["Healthcheck"]["Test"]
    assert watched[:2] == ["NONE"] if image in WITHOUT_SERVICE else watched[1] == "triptych-health", watched


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_nothing_to_build_with(compose: Composition, image: str) -> None:
    said = compose.in_image(
        image,
        f"id -u; for tool in {BUILD_TOOLS}; do command -v $tool; done; ls /opt/triptych/bin | grep '^pip'; "
        "ls -d /source /wheels /opt/build 2>/dev/null; true",
    )
    assert said.split() == ["10001"]


@pytest.mark.parametrize("service", OURS)
def test_what_runs_can_not_write_into_its_root(compose: Composition, service: str) -> None:
    said = compose("exec", "-T", service, "sh", "-c", "touch /opt/triptych/x /var/x 2>&1 || echo refused; touch /tmp/x")
    assert said.count("Read-only file system") == 2, said
    assert said.endswith("refused\n")
