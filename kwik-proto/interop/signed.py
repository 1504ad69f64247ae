"""Makes what KWIK signs, from docs/spec alone: keys, a token, the proof of a Hello, orders.

usage: signed.py VECTOR_DIR OUT_FILE

Knows nothing of KWIK's Rust code, which has to read the same file and to sign the same bytes. All secrets are for tests.
"""

import base64
import hashlib
import json
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def base64url(data):
    """Without padding (RFC 4648, 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_key(secret):
    return secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def paserk(public):
    """ADMIT-3, `cnf`."""
    return "k4.public." + base64url(public)


def paserk_id(public):
    """ADMIT-2, `kid`."""
    hashed = hashlib.blake2b(b"k4.pid." + paserk(public).encode(), digest_size=33)
    return "k4.pid." + base64url(hashed.digest())


def pae(*pieces):
    """PASETO's pre-authentication encoding."""
    words = [struct.pack("<Q", len(pieces))]
    for piece in pieces:
        words += [struct.pack("<Q", len(piece)), piece]
    return b"".join(words)


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def token(secret, claims):
    """ADMIT-1 to ADMIT-3."""
    payload, footer = compact(claims), compact({"kid": paserk_id(public_key(secret))})
    message = pae(b"v4.public.", payload, footer, b"")
    text = "v4.public." + base64url(payload + secret.sign(message)) + "." + base64url(footer)
    return {"claims": claims, "footer": footer.decode(), "signed": message.hex(), "token": text}


def admission(secret, text, exporter):
    """ADMIT-5."""
    message = b"kwik/1 admission\0" + hashlib.sha256(text.encode()).digest() + exporter
    assert len(message) == 81
    return {"exporter": exporter.hex(), "signed": message.hex(), "proof": secret.sign(message).hex()}


def orders(secret, body):
    """GRANT-2."""
    message = b"kwik/1 orders\0" + body
    return {"body": body.hex(), "signed": message.hex(), "signature": secret.sign(message).hex()}


def key(seed):
    secret = Ed25519PrivateKey.from_private_bytes(seed)
    public = public_key(secret)
    names = {"seed": seed.hex(), "public": public.hex(), "paserk": paserk(public), "id": paserk_id(public)}
    return secret, {"secret_paserk": "k4.secret." + base64url(seed + public), **names}


def main():
    vectors, out = map(Path, sys.argv[1:])
    identity, identity_names = key(bytes(range(1, 33)))
    confirmation, confirmation_names = key(bytes(range(101, 133)))
    claims = {
        "jti": "000102030405060708090a0b0c0d0e0f",
        "nbf": "2026-01-02T03:04:05Z",
        "exp": "2026-01-02T03:05:05Z",
        "aud": "sha256:" + "a1" * 32,
        "session": b"session of bytes".hex(),
        "path": 300,
        "epoch": 2,
        "cnf": {"paserk": confirmation_names["paserk"]},
    }
    signed = token(identity, claims)
    body = bytes.fromhex(json.loads((vectors / "orders_delegation.json").read_text())["bytes"])
    value = {
        "identity": identity_names,
        "confirmation": confirmation_names,
        "token": signed,
        "admission": admission(confirmation, signed["token"], bytes(range(200, 232))),
        "orders": orders(identity, body),
    }
    out.write_text(json.dumps(value, indent=2) + "\n")


main()
