"""Weights that are fetched by command: which there are, how they are had, and where they lie.

manifest.toml   the entries: what each is, where it is fetched from, size and SHA-256 of every file, its licence
manifest.py     the manifest, typed and checked
locating.py     where a backend finds an entry, once its content is what the manifest says
choice.py       which model each service is to run
state.py        what is there, whole or not
fetching.py     brings an entry (needs the extra `fetch`), by transfer.py (one file over HTTP, as a part.py),
                offline.py (from a directory) and unpacking.py, in a workshop.py of its own
"""

from triptych_common.model_store.locating import entry_directory, entry_name, locate
from triptych_common.model_store.manifest import Entry, Manifest, production_model, read_manifest

__all__ = ["Entry", "Manifest", "entry_directory", "entry_name", "locate", "production_model", "read_manifest"]
