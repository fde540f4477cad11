"""Certificates for tests of TLS."""

from pathlib import Path

import trustme


def write_pair(identity: str, certificate: Path, key: Path) -> None:
    """PEM files for a host name or address. The first also holds the authority, for peers to trust."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    issued = authority.issue_cert(identity, key_type=trustme.KeyType.ECDSA)
    key.write_bytes(issued.private_key_pem.bytes())
    chain = [*issued.cert_chain_pems, authority.cert_pem]
    certificate.write_bytes(b"".join(piece.bytes() for piece in chain))
