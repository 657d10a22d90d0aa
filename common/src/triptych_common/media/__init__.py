"""Reading photos: where they may be, and how they are decoded."""

from triptych_common.media.decoding import DecodedImage, ImageFacts, decode_image
from triptych_common.media.failures import ImageFailure
from triptych_common.media.loading import ImageLoader, ImageReference, LoadedImage
from triptych_common.media.locations import MediaRoots, display_path, path_from_uri, uri_from_path
from triptych_common.media.scaling import Resolution

__all__ = [
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
