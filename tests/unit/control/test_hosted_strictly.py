"""What a host refuses: of the API what it does not run, of its documents what its front would not write."""

import os
import pwd
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from springboard.control.errors import ControlError
from springboard.control.lent import AsUser
from springboard.control.store import Folder
from springboard.control.strict import DocumentError, checked
from springboard.system.files import lock
from tests.unit.control.hosts import Control


@pytest.mark.parametrize(
    ("operation", "asked", "said"),
    [
        (
            "CreateModel",
            {"ModelName": "m", "PrimaryContainer": {"ModelDataUrl": "s3://else/releases/dive/1.0.0/"}},
            "ModelDataUrl must be s3://models/releases/dive/X.Y.Z/, found s3://else/releases/dive/1.0.0/.",
        ),
        (
            "CreateModel",
            {"ModelName": "m", "PrimaryContainer": {"ModelDataUrl": "s3://models/model.tar.gz"}},
            "A host runs what is published in its registry",
        ),
    ],
)
def test_what_a_host_does_not_run_is_refused(
    control: Control, operation: str, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(ControlError, match=said.replace(".", r"\.")):
        control.call(operation, **asked)


def test_an_agent_takes_no_other_model_from_a_front_that_was_taken_over(control: Control) -> None:
    control.create("1.0.0")
    (document,) = control.store.every("endpoint")
    found = control.store.read("endpoint", "dives")
    assert found
    document["wanted"]["variants"][0]["model"]["PrimaryContainer"]["ModelDataUrl"] = "s3://evil/model.tar.gz"
    control.store.write("endpoint", "dives", document, found[1])
    control.work()
    assert control.told()["EndpointStatus"] == "Failed"
    assert "s3://evil/model.tar.gz is no release of this host's registry" in control.told()["FailureReason"]
    assert control.bench.running == set()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "../../etc"}, "name: String should match pattern"),
        ({"status": "Good"}, "status: Input should be 'Creating'"),
        ({"slot": 10}, "slot: Input should be less than 10"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        (
            {"wanted": {"config": "c", "deployment": None, "variants": []}},
            "wanted.variants: Tuple should have",
        ),
    ],
)
def test_a_document_that_the_front_would_not_write_is_not_read(
    control: Control, change: dict[str, Any], said: str
) -> None:
    control.create("1.0.0")
    (document,) = control.store.every("endpoint")
    assert checked(document)["wanted"]["variants"][0]["name"] == "AllTraffic"
    with pytest.raises(DocumentError, match=said):
        checked({**document, **change})
    asked = {"OutputConfig": {"S3OutputPath": "/etc"}}
    with pytest.raises(DocumentError, match=r"wanted\.async: .*regular expression"):
        checked({**document, "wanted": {**document["wanted"], "async": asked}})
    variant = document["wanted"]["variants"][0]
    variant["model"] = {"PrimaryContainer": {"Image": 5}, "ModelName": "m"}
    with pytest.raises(DocumentError, match=r"wanted\.variants\.0\.model"):
        checked(document)


def test_a_damaged_document_changes_nothing(
    control: Control, folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    control.create("1.0.0")
    control.work()
    path = folder._path("endpoint", "dives")
    path.write_text(path.read_text().replace('"InService"', '"Wrong"'))
    asked = iter(range(5))
    control.work(lambda: next(asked) == 4)
    assert "the endpoint's document is damaged: status: " in caplog.text
    assert control.bench.variants() == [("AllTraffic", "1.0.0", 100)]


def test_documents_of_another_user_lead_root_nowhere() -> None:
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with TemporaryDirectory() as name:
        folder, secret = Path(name), Path(name) / "secret"
        secret.write_text("{}")
        secret.chmod(0)
        (folder / "documents").mkdir()
        os.chown(folder / "documents", pwd.getpwnam(user).pw_uid, -1)
        folder.chmod(0o711)
        store = AsUser(Folder(folder / "documents"), user)
        store.write("endpoint", "dives", {"n": 1}, None)
        assert (folder / "documents" / "endpoint" / "dives.json").owner() == user
        assert store.change("endpoint", "dives", lambda one: {**one, "n": 2}) == {"n": 2}
        (folder / "documents" / "endpoint" / "other.json").symlink_to(secret)
        for act in (lambda: store.read("endpoint", "other"), lambda: store.every("endpoint")):
            with pytest.raises(PermissionError):
                act()
        found = store.read("endpoint", "dives")
        assert found
        store.remove("endpoint", "dives", found[1])
        assert store.read("endpoint", "dives") is None
        turn = folder / "documents" / ".turn"
        with store.turn(), turn.open("a") as file:
            assert (turn.owner(), lock(file)) == (user, False)
        # A folder that leads to one of root's.
        (folder / "roots").mkdir(mode=0o500)
        (folder / "documents" / "model").symlink_to(folder / "roots")
        with pytest.raises(PermissionError):
            store.write("model", "a", {}, None)
