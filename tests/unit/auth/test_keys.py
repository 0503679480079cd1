import os
from pathlib import Path

import pytest

from springboard.auth import keys


def test_the_file_is_its_owners_alone_and_holds_no_token(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "keys.json"
    token = keys.create_token(path, "ci")
    key = keys.create_access_key(path, "app")
    assert path.stat().st_mode & 0o777 == 0o600
    assert token not in path.read_text()
    assert keys.load(path).access_keys == (key,)
    assert keys.load(path).names() == ["app", "ci"]
    assert list(path.parent.iterdir()) == [path]


def test_names_are_unique_and_revoking_takes_one(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys.create_access_key(path, "app")
    keys.create_token(path, "ci")
    with pytest.raises(keys.KeysFileError, match="already"):
        keys.create_token(path, "app")
    keys.revoke(path, "app")
    assert keys.load(path).names() == ["ci"]
    with pytest.raises(keys.KeysFileError, match="it has ci"):
        keys.revoke(path, "app")


def test_a_broken_file_is_named_without_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"access_keys": [{"name": "app", "secret_access_key": "hidden"}]}')
    path.chmod(0o600)
    with pytest.raises(keys.KeysFileError) as caught:
        keys.load(path)
    assert f"{path}:1: access_keys.0.access_key_id: Field required" in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o602])
def test_a_file_of_ours_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    keys.create_token(path, "ci")
    path.chmod(mode)
    with pytest.raises(keys.KeysFileError, match="chmod 600"):
        keys.load(path)


def test_a_file_that_is_lent_by_another_account_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    keys.create_token(path, "ci")
    path.chmod(0o440)  # as systemd shows a credential
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert keys.load(path).names() == ["ci"]


def test_a_key_is_on_the_disk_before_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    keys.create_token(tmp_path / "keys.json", "ci")
    assert len(synced) == 2, "the file and its folder"
