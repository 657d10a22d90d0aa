"""Which files are taken for photos, and which formats are decoded."""

from typing import Final

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF", "JPEG2000", "PPM")
"""Formats that are decoded, by Pillow's names, besides camera raw files; nothing else is tried, however the file is
called. An MPO opens as the JPEG that it begins with."""

RAW_EXTENSIONS: Final = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mrw", ".nef", ".nrw", ".orf"}
    | {".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
"""Extensions, in lower case, of raw files that LibRaw reads."""

PHOTO_EXTENSIONS: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif"}
    | {".mpo", ".jp2", ".ppm"}
    | RAW_EXTENSIONS
)
"""Extensions, in lower case, by which a file is taken for a photo."""
