import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from springboard.auth import keys
from springboard.system import files


def test_the_file_is_its_owners_alone_and_holds_no_token(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "keys.json"
    token = keys.create_token(path, "ci")
    key = keys.create_access_key(path, "app")
    assert path.stat().st_mode & 0o777 == 0o600
    assert token not in path.read_text()
    assert keys.load(path).access_keys == (key,)
    assert keys.load(path).names() == ["app", "ci"]
    lock = path.with_name(".keys.json.lock")
    assert sorted(path.parent.iterdir()) == [lock, path]
    assert lock.stat().st_mode & 0o777 == 0o600  # whoever may open it may have others wait


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


def test_a_rotated_key_and_its_successor_are_both_good_until_the_overlap_ends(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    old = keys.create_access_key(path, "app")
    keys.create_token(path, "ci")
    new = keys.rotate(path, "app", timedelta(days=7))
    assert isinstance(new, keys.AccessKey)
    held = keys.load(path)
    assert held.names() == ["app", "ci"]
    assert [key.access_key_id for key in held.valid().access_keys] == [
        old.access_key_id,
        new.access_key_id,
    ]
    assert '"ends"' in path.read_text()
    over = keys.rotate(path, "app", timedelta(0))
    assert keys.load(path).of(["app"]).access_keys == (over,)
    assert isinstance(keys.rotate(path, "ci", timedelta(seconds=-1)), str)
    assert len(keys.load(path).tokens) == 2
    assert len(keys.load(path).valid().tokens) == 1


def test_rotating_twice_prolongs_no_overlap(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys.create_access_key(path, "app")
    keys.rotate(path, "app", timedelta(days=1))
    ends = keys.load(path).access_keys[0].ends
    keys.rotate(path, "app", timedelta(days=30))
    first, second, third = keys.load(path).access_keys
    assert (first.ends, third.ends) == (ends, None)
    assert second.ends
    assert ends
    assert second.ends > ends


def test_a_file_without_overlaps_is_as_earlier_versions_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys.create_access_key(path, "app")
    assert "ends" not in path.read_text()


def test_exported_keys_are_the_same_elsewhere(tmp_path: Path) -> None:
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    keys.create_access_key(here, "app")
    keys.create_token(there, "old")
    given = keys.load(here)
    assert keys.read_in(there, given) == ["app"]
    assert keys.read_in(there, given) == []
    assert keys.load(there).names() == ["app", "old"]
    assert keys.read_in(there, given, exactly=True) == ["old"]
    assert there.read_text() == here.read_text()


def test_a_name_that_is_another_keys_is_not_taken_over(tmp_path: Path) -> None:
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    for path in (here, there):
        keys.create_access_key(path, "app")
    before = there.read_text()
    with pytest.raises(keys.KeysFileError, match="another key named app"):
        keys.read_in(there, keys.load(here))
    assert there.read_text() == before


def test_keys_that_playbooks_place_are_not_edited_on_the_host(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys.create_token(path, "ci")
    keys.placed(path).touch()
    for edit in (keys.create_token, keys.create_access_key, keys.revoke):
        with pytest.raises(keys.KeysFileError, match=r"playbooks/keys.yml with -e create=NAME"):
            edit(path, "ci" if edit is keys.revoke else "app")
    assert keys.read_in(path, keys.Keys(), exactly=True) == ["ci"]


def test_an_administrators_key_stays_one_when_rotated_and_others_are_as_before(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert keys.create_access_key(path, "app").role == "invoke"
    assert "role" not in path.read_text()
    keys.create_access_key(path, "ops", "admin")
    keys.create_token(path, "ci", "admin")
    for name in ("ops", "ci"):
        keys.rotate(path, name, timedelta(days=1))
    roles = [(one.name, one.role) for one in keys.load(path).all()]
    assert roles == [("app", "invoke"), *[("ops", "admin")] * 2, *[("ci", "admin")] * 2]


def test_of_many_changes_at_once_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys.create_access_key(path, "leaves")
    with ThreadPoolExecutor(9) as threads:
        gone = threads.submit(keys.revoke, path, "leaves")
        made = [threads.submit(keys.create_access_key, path, f"key-{n}") for n in range(8)]
    gone.result()
    assert len({done.result().access_key_id for done in made}) == 8
    assert sorted(keys.load(path).names()) == [f"key-{n}" for n in range(8)]


def test_who_has_the_file_for_long_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_LOCK_SECONDS", 0)
    path = tmp_path / "keys.json"
    with files.alone(tmp_path / ".keys.json.lock"), pytest.raises(keys.KeysFileError, match="fuser -v"):
        keys.create_access_key(path, "one")
    assert not path.exists()
