"""What the `triptych` command reads from the environment."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

PREFIX = "TRIPTYCH_"


class CommandSettings(BaseModel):
    """Settings of the `triptych` command; an empty variable counts as none."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    embedder_model: str = ""
    """Model of the embedder that `triptych up` and `train` start; wins over `TRIPTYCH_MODEL`."""
    facedetect_model: str = ""
    """Model of the face detector that `triptych up` and `train` start; wins over `TRIPTYCH_MODEL`."""
    model: str = ""
    """Model of both services that `triptych up` and `train` start; wins over what `triptych models use` has chosen."""
    models_dir: str = ""
    """Where `triptych models` keeps weights and the services that `triptych up` starts find them; where it is not set,
    `models` in the data directory."""
    models_mirror: str = ""
    """Base of the URLs that `triptych models fetch` fetches from in place of the manifest's:
    `BASE/BACKEND/MODEL/FILE`. What comes must still be what the manifest pins."""

    token: str = Field(default="", repr=False)
    """Token that commands send to a gateway that asks for one; see `triptych token create`."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """The settings in an environment."""
        found = {name: environment.get(f"{PREFIX}{name.upper()}", "") for name in cls.model_fields}
        return cls.model_validate(found)
