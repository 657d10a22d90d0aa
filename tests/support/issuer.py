"""An OpenID Connect issuer of a test's own: keys, a server that publishes them, and bearers that they sign."""

import base64
import contextlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE: Final = "triptych"
_KEYS: Final = "/keys"
_DISCOVERY: Final = "/.well-known/openid-configuration"
_LIFE_SECONDS: Final = 600

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def new_key(algorithm: str = "RS256") -> PrivateKey:
    """A private key for RS256 or ES256."""
    if algorithm.startswith("ES"):
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(kw_only=True)
class RunningIssuer:
    """What is published may be changed while it runs."""

    url: str
    signing: dict[str, tuple[PrivateKey, str]] = field(default_factory=dict)
    """Key id → private key and algorithm."""
    published: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Key id → public key as the server answers it."""
    is_away: bool = False
    readings: int = 0
    """How often the keys were asked for."""

    def add(self, key_id: str, algorithm: str = "RS256", *, published: bool = True) -> None:
        """A new key."""
        key = new_key(algorithm)
        self.signing[key_id] = key, algorithm
        if published:
            self.publish(key_id)

    def publish(self, key_id: str) -> None:
        """Have the server answer its public half."""
        key, algorithm = self.signing[key_id]
        public: dict[str, Any] = (
            RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            if isinstance(key, rsa.RSAPrivateKey)
            else ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        )
        self.published[key_id] = public | {"kid": key_id, "use": "sig", "alg": algorithm}

    def claims(self, **others: Any) -> dict[str, Any]:
        """Claims that hold, some replaced, those that are None left out."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": "ada@example", "iat": now, "exp": now + _LIFE_SECONDS}
        return {
            name: value for name, value in (usual | {"scope": "triptych:read"} | others).items() if value is not None
        }

    def bearer(self, key_id: str = "first", *, header: dict[str, Any] | None = None, **others: Any) -> str:
        """A signed bearer."""
        key, algorithm = self.signing[key_id]
        return jwt.encode(self.claims(**others), key, algorithm=algorithm, headers={"kid": key_id, **(header or {})})

    def forged(self, header: dict[str, Any], signature_key: bytes | None, **others: Any) -> str:
        """A bearer whose header says what it likes; signed by HMAC with some bytes, or not at all."""
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (header, self.claims(**others)))
        signature = hmac.new(signature_key, signed.encode(), sha256).digest() if signature_key is not None else b""
        return f"{signed}.{_encoded(signature)}"


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@contextlib.contextmanager
def running_issuer() -> Iterator[RunningIssuer]:
    """Serve on loopback, with one key called `first`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == _KEYS:
                issuer.readings += 1
            answers: dict[str, Any] = {
                _KEYS: {"keys": list(issuer.published.values())},
                _DISCOVERY: {"issuer": issuer.url, "jwks_uri": f"{issuer.url}{_KEYS}"},
            }
            if issuer.is_away or self.path not in answers:
                self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
                return
            content = json.dumps(answers[self.path]).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class has it
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = RunningIssuer(url=f"http://127.0.0.1:{server.server_port}")
    issuer.add("first")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
