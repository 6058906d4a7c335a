"""Somebody between hosts and their database wants to read along, or to be taken for the database."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from aiohttp_jobs.doctor.database import database_findings
from aiohttp_jobs.errors import JobsError
from aiohttp_jobs.model.job import utc_now

from ..engine.postgres.support import SECRET, installation
from ..ports import free_port
from ..postgres import PostgresServer


def certificate() -> tuple[bytes, bytes]:
    """One for this machine, which nobody else has signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "database")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc_now() - timedelta(hours=1))
        .not_valid_after(utc_now() + timedelta(days=1))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM), plain


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, bytes]:
    """The file that hosts are given to know the database by, and the key that goes with it."""
    public, private = certificate()
    path = tmp_path / "database.pem"
    path.write_bytes(public)
    return path, private


@pytest.fixture
def address(postgres_server: PostgresServer, authority: tuple[Path, bytes]) -> Iterator[str]:
    """The dsn of a database that is reached over TCP, without what it says of TLS."""
    path, private = authority
    if not postgres_server.has_tls:
        pytest.skip("this PostgreSQL was built without TLS")
    port = free_port()
    server = postgres_server.another(listen_addresses="127.0.0.1", port=str(port))
    try:
        server.encrypt(path.read_bytes(), private)
        yield f"postgresql://jobs@127.0.0.1:{port}/{server.create_upgraded()}"
    finally:
        server.close()


def checks(dsn: str) -> set[str]:
    """What doctor has something to say of."""
    return {finding.check for finding in database_findings(dsn, SECRET)}


def test_only_the_database_that_the_certificate_names_is_told_anything(
    address: str, authority: tuple[Path, bytes], tmp_path: Path
) -> None:
    right = f"{address}?sslmode=verify-full&sslrootcert={authority[0]}"
    kept = installation(right)
    kept.open()
    with_tls = kept.database.rows(
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'jobs'"
    )
    assert with_tls == [(True,)]
    kept.close()
    assert "database_tls" in checks(f"{address}?sslmode=disable")
    assert "database_tls" not in checks(right)
    other = tmp_path / "other.pem"
    other.write_bytes(certificate()[0])
    with pytest.raises(JobsError):
        installation(f"{address}?sslmode=verify-full&sslrootcert={other}").open()
