"""What can keep a sample library from being written.

SamplesError
├── PictureMissingError    a package, or a picture of it, is not installed
├── PictureChangedError    a picture is not the one in which the faces were measured
├── DirectoryRefusedError  the directory holds something else
└── FramingError           no part of a picture meets what a photo asks for
"""


class SamplesError(Exception):
    """Base of all of them; the text is one sentence for whoever typed the command."""


class PictureMissingError(SamplesError):
    """A package that carries pictures is not installed, or came without them; the text says what to install."""


class PictureChangedError(SamplesError):
    """A picture has other dimensions than the one in which its faces were measured."""


class DirectoryRefusedError(SamplesError):
    """The directory holds files of somebody else, or another or a damaged sample library."""


class FramingError(SamplesError):
    """No part of a picture shows the faces that a photo is to show and no half of another."""
