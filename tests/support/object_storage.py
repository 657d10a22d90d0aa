"""A real server of S3's protocol, moto's, on this machine: stopped and started again, it has what it had."""

import contextlib
import json
import logging
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import s3fs
from moto.server import ThreadedMotoServer

from tests.support.ports import free_port
from triptych_common.media import MediaRoots
from triptych_common.store_access import StoreAccess

KEY_ID, SECRET = "AKIATRIPTYCHTESTS", "a secret that no log may hold"


class Storage:
    """The server, and what tests put there."""

    def __init__(self, host: str) -> None:
        self._host, self._port = host, free_port(host)
        self._server: ThreadedMotoServer | None = None
        self.start()
        self._client = s3fs.S3FileSystem(
            endpoint_url=self.url, key=KEY_ID, secret=SECRET, use_listings_cache=False, skip_instance_cache=True
        )

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://{self._host}:{self._port}"

    @property
    def access(self) -> StoreAccess:
        """How it is reached."""
        return StoreAccess(endpoint_url=self.url, region="us-east-1", access_key_id=KEY_ID, secret_access_key=SECRET)

    @property
    def environment(self) -> dict[str, str]:
        """What a process is told to reach it."""
        return {
            "TRIPTYCH_S3_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def roots(self, *roots: str) -> MediaRoots:
        """Media roots over it."""
        return MediaRoots(roots, self.access)

    def start(self) -> None:
        """Answer."""
        self._server = ThreadedMotoServer(self._host, self._port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        """Be away: connections are refused."""
        if self._server is not None:
            self._server.stop()
            if self._server._server is not None:
                self._server._server.server_close()
            self._server = None

    @contextlib.contextmanager
    def knowing_nobody(self) -> Iterator[None]:
        """Refuse every key, as a store does of which somebody took the keys away."""
        known = self._allow_without_key(0)
        try:
            yield
        finally:
            self._allow_without_key(known)

    def _allow_without_key(self, requests: float) -> float:
        """Let so many requests in whoever asks, and then those with keys; returns how many it was before."""
        question = urllib.request.Request(  # noqa: S310 - its own address
            f"{self.url}/moto-api/reset-auth", data=str(requests).encode(), headers={"Content-Type": "text/plain"}
        )
        with urllib.request.urlopen(question) as answer:  # noqa: S310 - its own address
            return float(json.load(answer)["PREVIOUS_INITIAL_NO_AUTH_ACTION_COUNT"])

    def call(self, method: str, **parameters: Any) -> Any:
        """An operation of S3, such as ``put_object``."""
        return self._client.call_s3(method, **parameters)

    def make_bucket(self, name: str, objects: Mapping[str, bytes] | None = None) -> "Bucket":
        """A bucket with objects by key."""
        self.call("create_bucket", Bucket=name)
        bucket = Bucket(self, name)
        for key, content in (objects or {}).items():
            bucket.put(key, content)
        return bucket


@dataclass(frozen=True)
class Bucket:
    """One bucket."""

    storage: Storage
    name: str

    def put(self, key: str, content: bytes) -> None:
        """Put an object, in place of one that is there."""
        self.storage.call("put_object", Bucket=self.name, Key=key, Body=content)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self.storage.call("delete_object", Bucket=self.name, Key=key)

    def path(self, key: str = "") -> bytes:
        """The path of an object, or of the bucket."""
        return f"s3://{self.name}/{key}".rstrip("/").encode()


@contextlib.contextmanager
def running_storage(host: str = "127.0.0.1") -> Iterator[Storage]:
    """A server for as long as the context lasts, at an address that the machine has."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    storage = Storage(host)
    try:
        yield storage
    finally:
        storage.stop()
