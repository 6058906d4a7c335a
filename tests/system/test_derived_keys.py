"""The keys that are made of an installation's secret, beside those in files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from aiohttp_jobs.errors import ConfigurationError, ForbiddenError
from aiohttp_jobs.system.derived_keys import FINGERPRINT, InstallationKeys
from aiohttp_jobs.system.key_files import READERS
from aiohttp_jobs.system.secret_box import Vault

SECRET = "what all hosts have in common, and nobody else"


def opened(vault: Vault) -> Vault:
    vault.open()
    return vault


def test_one_secret_makes_the_same_keys_everywhere_and_another_for_each_purpose(tmp_path: Path) -> None:
    here, there = (InstallationKeys(tmp_path / name, SECRET) for name in ("here", "there"))
    keys = {name: here.get(name) for name in READERS}
    assert keys == {name: there.get(name) for name in READERS}
    assert len(set(keys.values())) == len(keys)
    assert all(keys[name] != InstallationKeys(tmp_path, f"{SECRET}.").get(name) for name in keys)
    Fernet(keys["values.key"])
    assert not list(tmp_path.iterdir())


def test_receivers_of_webhooks_can_be_told_their_key(tmp_path: Path) -> None:
    # printf webhook | openssl dgst -sha256 -hmac "$AIOHTTP_JOBS_SECRET"
    told = "bab4a3635fddfbfc1c3dc3d81f430d719216767cbb67471dac84edcc16decfb3"
    assert InstallationKeys(tmp_path, SECRET).get("webhook.key").decode() == told


def test_what_key_files_signed_and_sealed_is_believed_while_they_are_there(tmp_path: Path) -> None:
    before = InstallationKeys(tmp_path)
    signed = before.signer("schedule.key").sign({"Name": "nightly"})
    sealed = opened(Vault(before)).seal("1", {"password": "x"})
    keys = InstallationKeys(tmp_path, SECRET)
    assert keys.signer("schedule.key").is_valid(signed)
    assert keys.signer("schedule.key").sign(signed) != signed
    assert opened(Vault(keys)).unseal("1", sealed) == {"password": "x"}
    shutil.rmtree(tmp_path / "Secrets")
    assert not keys.signer("schedule.key").is_valid(signed)
    with pytest.raises(ForbiddenError, match="encrypted with another key"):
        opened(Vault(keys)).unseal("1", sealed)


def test_hosts_with_another_secret_or_none_are_refused(tmp_path: Path) -> None:
    InstallationKeys(tmp_path).require_same_secret()
    InstallationKeys(tmp_path, SECRET).require_same_secret()
    InstallationKeys(tmp_path, SECRET).require_same_secret()
    with pytest.raises(ConfigurationError, match="hosts with another secret"):
        InstallationKeys(tmp_path, f"{SECRET}.").require_same_secret()
    with pytest.raises(ConfigurationError, match="hosts with a secret, and this one has none"):
        InstallationKeys(tmp_path).require_same_secret()
    (tmp_path / "Secrets" / FINGERPRINT).unlink()
    InstallationKeys(tmp_path, f"{SECRET}.").require_same_secret()
