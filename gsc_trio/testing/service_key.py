"""The fake service account's key: one a process, since it takes long to make."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any


def private_key() -> str:
    """The private key as it stands in a key file."""
    return _key_pair()[0]


def read_assertion(assertion: str) -> tuple[dict[str, Any], bool]:
    """What a signed request (a JWT) claims, and whether this key signed it.

    Raises:
        ValueError: it is none.
    """
    # Loaded late: few need it, and it takes long.
    from google.auth import crypt

    signed, _, signature = assertion.rpartition(".")
    claims = json.loads(_decoded(signed.partition(".")[2]))
    if not isinstance(claims, dict):
        raise ValueError("the claims are no object")
    verifier = crypt.RSAVerifier.from_string(_key_pair()[1])
    return claims, bool(verifier.verify(signed.encode(), _decoded(signature)))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@cache
def _key_pair() -> tuple[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()
