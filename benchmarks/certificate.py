"""A certificate authority for one run, so that upstreams are reached over TLS as in life."""

from __future__ import annotations

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """Files of a server's chain and key, and of the authority that signed it."""

    chain: Path
    key: Path
    authority: Path


def make_certificate(directory: Path) -> Certificate:
    """A fresh authority and a certificate for 127.0.0.1 and localhost in ``directory``."""
    now = datetime.datetime.now(datetime.UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _name("Benchmark authority")

    def signed(
        subject: x509.Name, public: ec.EllipticCurvePublicKey, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            issuer_name=issuer,
            subject_name=subject,
            public_key=public,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - _LIFETIME,
            not_valid_after=now + _LIFETIME,
        )
        for extension in extensions:
            critical = isinstance(extension, x509.BasicConstraints | x509.KeyUsage)
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(authority_key, hashes.SHA256())

    issuer_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = signed(
        issuer,
        authority_key.public_key(),
        x509.BasicConstraints(ca=True, path_length=0),
        _usage(signs_certificates=True),
        issuer_id,
    )
    server = signed(
        _name("localhost"),
        key.public_key(),
        x509.BasicConstraints(ca=False, path_length=None),
        _usage(signs_certificates=False),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        ),
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id),
    )
    made = Certificate(
        directory / "server.pem", directory / "server-key.pem", directory / "authority.pem"
    )
    made.chain.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    made.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with os.fdopen(os.open(made.key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(secret)
    return made


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
