"""Photos whose content is no longer where the catalogue knows it: what is found anew may be one of them."""

from collections import defaultdict
from dataclasses import replace

from triptych_gateway.catalog.library.moves import KnownPhoto
from triptych_gateway.catalog.library.photos import FoundPhoto


class LeftPhotos:
    """Known photos by content; each is given out once."""

    def __init__(self) -> None:
        self._photos: dict[int, KnownPhoto] = {}
        self._by_content: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
        self._by_name: defaultdict[tuple[int, bytes, bytes], list[int]] = defaultdict(list)
        # Those given out stay in the lists until they are come upon.

    def add(self, photo: KnownPhoto) -> None:
        """One more, whose content is known."""
        if photo.content_sha256 is not None:
            self._photos[photo.id] = photo
            self._by_content[photo.size_bytes, photo.content_sha256].append(photo.id)
            self._by_name[photo.size_bytes, photo.content_sha256, _name(photo.path)].append(photo.id)

    @property
    def sizes(self) -> set[int]:
        """Sizes of those that are left."""
        return {photo.size_bytes for photo in self._photos.values()}

    def relocate(self, asset_id: int, path: bytes) -> None:
        """The catalogue knows one under another path now."""
        if asset_id in self._photos:
            self._photos[asset_id] = replace(self._photos[asset_id], path=path)

    def take(self, found: FoundPhoto, *, same_name: bool) -> KnownPhoto | None:
        """One with the content of a file, and with its name where that is asked; None where there is none."""
        if found.content_sha256 is None:
            return None
        content = (found.size_bytes, found.content_sha256)
        name = _name(found.path)
        ids = self._by_name.get((*content, name), []) if same_name else self._by_content.get(content, [])
        while ids:
            photo = self._photos.pop(ids.pop(), None)
            if photo is not None:
                return photo
        return None


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]
