"""Takes out of a text what must not leave the machine: secrets, paths and names of photos, vectors."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

MASK: Final = "***"
_SHORTEST_SECRET: Final = 6
"""Characters from which on a known secret is looked for by itself: shorter ones would be found everywhere."""

_CREDENTIAL: Final = (
    r"(?:passwords?|passwd|passphrase|secrets?|tokens?|credentials?|signature|api_?key|access_?key(?:_?id)?)(?![a-z])"
)
_SECRETS: Final = (
    # user:password@ of any address
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s,'\"]*@", re.IGNORECASE), rf"\1{MASK}@"),
    (
        re.compile(
            r"\b((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]*(?:token|key))\b(['\"]?\s*[:=,]).*", re.IGNORECASE
        ),
        rf"\1\2 {MASK}",
    ),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {MASK}"),
    (
        re.compile(rf"([\w.-]*{_CREDENTIAL})(['\"]?\s*[:=]\s*)(?:\"[^\"]*\"?|'[^']*'?|[^\s,;&)}}\]]+)", re.IGNORECASE),
        rf"\1\2{MASK}",
    ),
    # A token of the gateway's own. Names of metrics begin so, and have no capitals.
    (re.compile(r"\btriptych_(?=[a-z0-9_]*[A-Z-])[A-Za-z0-9_-]{20,}"), MASK),
    # JSON Web Tokens, and what AWS hands out.
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), MASK),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), MASK),
)
_VECTORS: Final = (
    # Eight numbers and more in a row, in brackets; bytes as PostgreSQL and Python write them.
    (
        re.compile(r"[\[({]\s*(?:-?\d+(?:\.\d+)?(?:e[+-]?\d+)?\s*[,\s]\s*){7,}[^\])}]*[\])}]?", re.IGNORECASE),
        "[numbers]",
    ),
    (re.compile(r"\\x[0-9a-f]{32,}", re.IGNORECASE), "[bytes]"),
)
_PICTURES: Final = (
    "jpe?g|jpe|jfif|png|gif|bmp|webp|tiff?|hei[cf]s?|hif|avif|dng|cr[23w]|nef|nrw|arw|sr2|raf|orf|rw2|pef|srw|psd|jp2"
)
_PHOTO: Final = re.compile(
    # In quotes; a path from its beginning; a name without spaces.
    rf"(?<=')[^'\n]*\.(?:{_PICTURES})(?=')|(?<=\")[^\"\n]*\.(?:{_PICTURES})(?=\")"
    rf"|(?<![\w.~>])/[^'\"\n]*?\.(?:{_PICTURES})\b|[^\s'\"=:,(\[<>]+\.(?:{_PICTURES})\b",
    re.IGNORECASE,
)
_ELSEWHERE: Final = re.compile(r"\b(?:s3|file)://.*", re.IGNORECASE)
SECRET_NAME: Final = re.compile(rf"{_CREDENTIAL}|headers|_key\b", re.IGNORECASE)
"""Names of settings whose values are secrets from end to end."""


class Redactor:
    """One bundle's redaction: the same path is the same word all through it, and another one in the next bundle."""

    def __init__(
        self,
        *,
        known_secrets: Iterable[str] = (),
        places: Mapping[str, str] | None = None,
        media_roots: Iterable[str] = (),
        with_names: bool = False,
    ) -> None:
        """`places` are directories that are called otherwise, such as the home directory; `with_names` keeps paths."""
        self._key = secrets.token_bytes(32)
        self._with_names = with_names
        spellings = {
            spelling for secret in known_secrets for spelling in (secret, quote(secret, safe=""), unquote(secret))
        }
        self._known = sorted((one for one in spellings if len(one) >= _SHORTEST_SECRET), key=len, reverse=True)
        self._places = sorted((places or {}).items(), key=lambda place: len(place[0]), reverse=True)
        self._roots = [
            (re.compile(rf"(?:file://)?{re.escape(spelling)}(?![\w.-]).*"), f"<media root {number}>", spelling)
            for number, root in enumerate(sorted(set(media_roots), key=len, reverse=True), 1)
            for spelling in dict.fromkeys((root.rstrip("/"), quote(root.rstrip("/"))))
            if spelling
        ]

    def text(self, text: str) -> str:
        """A text without secrets, vectors, and, unless names are kept, paths and names of photos; line by line.

        What follows a media root on a line goes as a whole: nothing says where a path ends that may hold anything.
        """
        return "\n".join(map(self._line, text.split("\n")))

    def value(self, value: Any) -> Any:
        """The same of a value that JSON can hold, in all strings of it; keys that name secrets lose their values."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {
                self.text(str(key)): MASK
                if isinstance(inner, str) and SECRET_NAME.search(str(key))
                else self.value(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return value

    def _line(self, line: str) -> str:
        for secret in self._known:
            line = line.replace(secret, MASK)
        for pattern, instead in (*_SECRETS, *_VECTORS):
            line = pattern.sub(instead, line)
        if not self._with_names:
            for pattern, name, spelling in self._roots:
                if found := pattern.search(line):
                    line = line[: found.start()] + self._below(found[0], name, spelling)
            line = _ELSEWHERE.sub(lambda found: f"<elsewhere>/{self._word(found[0])}", line)
            line = _PHOTO.sub(lambda found: f"<photo {self._word(found[0])}>", line)
        for place, name in self._places:
            line = line.replace(place, name)
        return line

    def _below(self, found: str, name: str, spelling: str) -> str:
        rest = unquote(found.partition(spelling)[2])
        return f"{name}/{self._word(rest)}" if rest.strip("/'\" ") else name

    def _word(self, name: str) -> str:
        """A word for a name that nobody can find the name by, who only guesses names: its key is never written."""
        return hmac.new(self._key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:12]


def secrets_in(environment: Mapping[str, str]) -> set[str]:
    """The secrets among the values of an environment: whole values, and passwords and user names in addresses."""
    whole = {value for name, value in environment.items() if value and SECRET_NAME.search(name)}
    return whole.union(*(credentials_of(value) for value in environment.values()))


def credentials_of(url: str) -> set[str]:
    """The password in an address; empty where there is none."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return set()
    return {password, unquote(password)} if password else set()
