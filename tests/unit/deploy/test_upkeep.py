import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from springboard.cli.app import app
from springboard.deploy import upkeep
from springboard.deploy.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    for folder in ("run", "boot", "var/lib/springboard"):
        (tmp_path / folder).mkdir(parents=True)
    return Layout(tmp_path)


def figures(layout: Layout) -> str:
    layout.figures.mkdir(parents=True, exist_ok=True)
    upkeep.tell(layout)
    return (layout.figures / "springboard_upkeep.prom").read_text()


def test_a_reboot_is_due_when_packages_ask_for_it(layout: Layout) -> None:
    assert "\nspringboard_reboot_required 0.0\n" in figures(layout)
    (layout.root / "run/reboot-required").touch()
    assert "\nspringboard_reboot_required 1.0\n" in figures(layout)


def test_a_reboot_is_due_when_a_newer_kernel_waits(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    running = os.uname_result(("Linux", "host", "6.8.0-1009-aws", "", "x86_64"))
    monkeypatch.setattr(os, "uname", lambda: running)
    (layout.root / "boot/vmlinuz-6.8.0-1010-aws").touch()
    assert not upkeep.reboot_due(layout), "a container's kernel is its host's"
    (layout.root / "boot/vmlinuz-6.8.0-1009-aws").touch()
    assert upkeep.reboot_due(layout)
    (layout.root / "boot/vmlinuz-6.8.0-1010-aws").rename(layout.root / "boot/vmlinuz-6.8.0-999-aws")
    assert not upkeep.reboot_due(layout)


def test_the_command_says_whether_a_reboot_is_due(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """patch.yml goes by its first words."""
    monkeypatch.setenv("SPRINGBOARD_ROOT", str(layout.root))
    said = [CliRunner().invoke(app, "upkeep").output]
    (layout.root / "run/reboot-required").touch()
    said.append(CliRunner().invoke(app, "upkeep").output)
    assert said == ["no reboot is due\n", "a reboot is due\n"]


def test_when_it_was_patched_is_told(layout: Layout) -> None:
    assert "patched" not in figures(layout)
    layout.patched.touch()
    os.utime(layout.patched, (1.8e9, 1.8e9))
    assert "\nspringboard_patched_timestamp_seconds 1800000000.0\n" in figures(layout)


def test_a_host_that_nobody_watches_gets_no_figures(layout: Layout) -> None:
    upkeep.tell(layout)
    assert not layout.figures.exists()
