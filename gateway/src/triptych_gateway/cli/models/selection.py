"""Which weights a person means by a name."""

from typing import Final

from triptych_common.model_store import production_model, read_manifest
from triptych_common.model_store.manifest import Entry
from triptych_gateway.cli.models.choice import PRODUCTION
from triptych_gateway.cli.stack.errors import StackError

_CLIP_BACKEND: Final = "open_clip:"
_CLIP_DIRECTORY: Final = "open_clip/"


def pinned_entries(names: list[str]) -> list[Entry]:
    """The pinned entries that names mean, each once: ``production``, entries' own names, or their models'.

    Raises:
        StackError: one means none, or there are no names.
    """
    known = read_manifest()
    if not names:
        raise StackError(
            f"Name what to fetch: `triptych models fetch {PRODUCTION}`, or a name of `triptych models list`."
        )
    found: dict[str, Entry] = {}
    for name in names:
        for wanted in known.production.values() if name == PRODUCTION else [name]:
            entry = next((one for one in known.entries if wanted in {one.name, one.model}), None)
            if entry is None:
                pinned = ", ".join([PRODUCTION, *(one.name for one in known.entries)])
                raise StackError(f"{wanted!r} cannot be fetched: these can: {pinned}.")
            found[entry.name] = entry
    return list(found.values())


def clip_name(word: str) -> str:
    """CLIP weights as the embedder names them (``NAME/TAG``, ``local-dir:/path``), whichever way a person does."""
    if word == PRODUCTION:
        word = production_model("embedder")
    if word.startswith(_CLIP_DIRECTORY):
        return stored_to_name(word.removeprefix(_CLIP_DIRECTORY))
    return word.removeprefix(_CLIP_BACKEND)


def stored_to_name(directory: str) -> str:
    """``ViT-B-32__laion2b_s34b_b79k``, as a directory is called, to ``ViT-B-32/laion2b_s34b_b79k``."""
    return directory.replace("__", "/", 1)
