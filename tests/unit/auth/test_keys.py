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
    with pytest.raises(keys.KeysFileError) as caught:
        keys.load(path)
    assert f"{path}:1: access_keys.0.access_key_id: Field required" in str(caught.value)
    assert "hidden" not in str(caught.value)
