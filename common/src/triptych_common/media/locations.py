"""Photo locations: paths are bytes, URIs are percent-encoded, and only media roots may be read."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

from triptych_common.errors import ConfigurationError
from triptych_common.media.failures import ImageFailure
from triptych_common.media.local_files import LocalFiles
from triptych_common.media.object_names import OBJECT_SCHEME, is_object_path, object_root
from triptych_common.media.stores import Entry, FileStatus, MediaStore, OpenedFile, outside
from triptych_common.store_access import StoreAccess

if TYPE_CHECKING:
    from triptych_common.media.object_store import ObjectStore

_SCHEME: Final = "://"


def uri_from_path(path: bytes) -> str:
    """The URI of an absolute path or of an object's; every byte survives the way back."""
    if is_object_path(path):
        return OBJECT_SCHEME.decode() + quote_from_bytes(path.removeprefix(OBJECT_SCHEME))
    return "file://" + quote_from_bytes(path)


def path_from_uri(uri: str) -> bytes:
    """The path that a URI names. Raises ValueError for another scheme, another host, a relative path, a query."""
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        if parts.query or parts.fragment or "?" in uri or "#" in uri:
            raise ValueError("the URI of an object has neither query nor fragment")
        path = OBJECT_SCHEME + unquote_to_bytes(parts.netloc) + unquote_to_bytes(parts.path)
    elif parts.scheme == "file" and parts.netloc in ("", "localhost"):
        path = unquote_to_bytes(parts.path)
        if not path.startswith(b"/"):
            raise ValueError("the path of a file URI is absolute")
    else:
        raise ValueError(f"not a URI of a file or an object: scheme {parts.scheme!r}, host {parts.netloc!r}")
    if b"\0" in path:
        raise ValueError("a path holds no NUL byte")
    return path


def display_path(path: bytes) -> str:
    """A path as text for people and JSON: bytes that are not UTF-8 appear as ``\\xNN``."""
    return path.decode("utf-8", errors="backslashreplace")


class MediaRoots:
    """The places under which photos may be read: one face for all stores that they lie in.

    ``roots`` are directories, or prefixes of buckets (``s3://bucket/photos``) of the store that ``access`` leads to.
    What each method does, and raises, is said in MediaStore. Raises ConfigurationError for a root that is neither, and
    where the package that object storage needs is not installed.
    """

    def __init__(self, roots: Sequence[str], access: StoreAccess | None = None) -> None:
        self._local = LocalFiles([root for root in roots if _SCHEME not in root])
        objects = [object_root(root) for root in roots if _SCHEME in root]
        self._objects = _object_store(objects, access or StoreAccess()) if objects else None

    @property
    def all(self) -> tuple[bytes, ...]:
        """The roots: directories with links resolved, then prefixes."""
        return self._local.roots + (self._objects.roots if self._objects is not None else ())

    @property
    def directories(self) -> tuple[bytes, ...]:
        """The local roots, resolved."""
        return self._local.roots

    def resolve(self, path: bytes) -> bytes | None:
        """The path in its one spelling if it lies under a root, else None. Need not exist.

        What is there may change until it is used: files are opened by ``open``.
        """
        store = self._store_of(path)
        return store.resolve(path) if store is not None else None

    def entries(self, directory: bytes) -> Iterator[Entry]:
        """What a directory holds, in no particular order."""
        return self._allowed_store(directory).entries(directory)

    def stat(self, path: bytes) -> FileStatus:
        """Size and time of a file."""
        return self._allowed_store(path).stat(path)

    def open(self, path: bytes) -> OpenedFile:
        """Open a file under the roots. The file that was checked is the one that is read."""
        return self._allowed_store(path).open(path)

    def read(self, path: bytes, *, max_bytes: int) -> bytes:
        """The whole of a file under the roots, of at most ``max_bytes``."""
        return self._allowed_store(path).read(path, max_bytes=max_bytes)

    def check_uri(self, uri: str) -> bytes:
        """The path that a URI names, which ``open`` and ``read`` check. Raises ImageFailure (path_not_allowed)."""
        if not uri.startswith(("file:", "s3:")):
            raise outside()
        try:
            return path_from_uri(uri)
        except ValueError as error:
            raise ImageFailure("path_not_allowed", f"The address cannot be read: {error}.") from error

    @property
    def objects(self) -> "ObjectStore":
        """The store of the roots that are prefixes. Only where there are such roots."""
        assert self._objects is not None  # noqa: S101 - who asks has an allowed path of an object
        return self._objects

    def _store_of(self, path: bytes) -> MediaStore | None:
        return self._objects if is_object_path(path) else self._local

    def _allowed_store(self, path: bytes) -> MediaStore:
        store = self._store_of(path)
        if store is None:
            raise outside()
        return store


def _object_store(roots: Sequence[bytes], access: StoreAccess) -> "ObjectStore":
    try:
        # Only where there is something to read with it: importing it takes half a second.
        from triptych_common.media.object_store import ObjectStore  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"The media root {display_path(roots[0])} is in object storage, which needs a package that is not"
            f" installed ({error.name}): `pip install 'triptych-common[s3]'`."
        ) from error
    return ObjectStore(roots, access)
