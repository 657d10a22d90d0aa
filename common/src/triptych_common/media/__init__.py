"""Reading photos: where they may be, and how they are decoded.

Names are looked up when they are first asked for: the process of a decoder imports what decodes and nothing else, and
a service everything but that.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from triptych_common.media.decoded import Decode, DecodedImage, ImageFacts
    from triptych_common.media.decoding import decode_image
    from triptych_common.media.failures import ImageFailure
    from triptych_common.media.loading import ImageLoader, ImageReference, LoadedImage
    from triptych_common.media.locations import MediaRoots, display_path, path_from_uri, uri_from_path
    from triptych_common.media.scaling import Resolution

__all__ = [
    "Decode",
    "DecodedImage",
    "ImageFacts",
    "ImageFailure",
    "ImageLoader",
    "ImageReference",
    "LoadedImage",
    "MediaRoots",
    "Resolution",
    "decode_image",
    "display_path",
    "path_from_uri",
    "uri_from_path",
]

_MODULES: Final = {
    "decoded": ("Decode", "DecodedImage", "ImageFacts"),
    "decoding": ("decode_image",),
    "failures": ("ImageFailure",),
    "loading": ("ImageLoader", "ImageReference", "LoadedImage"),
    "locations": ("MediaRoots", "display_path", "path_from_uri", "uri_from_path"),
    "scaling": ("Resolution",),
}
_MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
