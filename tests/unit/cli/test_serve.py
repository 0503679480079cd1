"""`springboard serve --archive` of what is no release's archive: one line, before anything is started."""

import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from springboard.cli.app import app
from springboard.system import logs


@pytest.fixture(autouse=True)
def no_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be this process's."""
    monkeypatch.setattr(logs, "configure", lambda as_json: None)


@pytest.mark.parametrize(
    ("name", "holds", "said"),
    [
        ("renamed.mar", "1.2.3", "holds release 1.2.3, so its name must be dive-1.2.3.mar"),
        ("dive-9.9.9.mar", "1.2.3", "holds release 1.2.3, so its name must be dive-1.2.3.mar"),
        ("dive-1.2.3", "1.2.3", "holds release 1.2.3, so its name must be dive-1.2.3.mar"),
        ("dive-1.0.mar", "1.0", "holds version 1.0, which is none like X.Y.Z"),
        ("renamed.mar", None, "is no archive of archive.sh; those are called dive-X.Y.Z.mar"),
        ("absent.mar", "", "does not exist; make it with"),
    ],
)
def test_an_archive_under_another_name_is_told_in_a_line(
    tmp_path: Path, name: str, holds: str | None, said: str
) -> None:
    archive = tmp_path / name
    if holds:
        with zipfile.ZipFile(archive, "w") as content:
            content.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": {"modelVersion": holds}}))
    elif holds is None:
        archive.write_bytes(b"no zip")
    run = CliRunner().invoke(app, ["serve", "--port", "0", "--archive", str(archive)])
    assert run.exit_code == 2
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "should hold one archive of archive.sh, dive-X.Y.Z.mar; it holds none"),
        (("dive-1.0.0.mar", "dive-1.1.0.mar"), "it holds dive-1.0.0.mar, dive-1.1.0.mar"),
    ],
)
def test_a_folder_that_a_variable_names_is_looked_through(
    tmp_path: Path, names: tuple[str, ...], said: str
) -> None:
    """As in a container, where nobody types options."""
    for name in names:
        (tmp_path / name).write_bytes(b"no zip")
    variables = {"SPRINGBOARD_SERVE_ARCHIVE": str(tmp_path), "SPRINGBOARD_SERVE_PORT": "0"}
    run = CliRunner().invoke(app, ["serve"], env=variables)
    assert run.exit_code == 2
    assert said in run.stderr
    assert "Traceback" not in run.stderr
