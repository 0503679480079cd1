"""Instances are made of archives; of one that is broken the archive and its fault are told."""

import io
import json
import zipfile
from collections.abc import Callable

import pytest
import yaml

from springboard.deploy import assemble
from springboard.deploy.plan import RolloutError, beside_of
from tests.unit.deploy.conftest import Bench

MANIFEST = json.dumps({"model": {"configFile": "model-config.yaml"}})


def packed(**members: str | bytes) -> bytes:
    """A zip with these members: `manifest`, `config`."""
    names = {"manifest": "MAR-INF/MANIFEST.json", "config": "model-config.yaml"}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(names[name], content)
    return buffer.getvalue()


def damaged() -> bytes:
    """A zip whose directory is whole and whose model-config is not what it was."""
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", MANIFEST)
        archive.writestr("model-config.yaml", "minWorkers: 1")
    return plain.getvalue().replace(b"minWorkers: 1", b"minWorkers: 2", 1)


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "no zip": (lambda: b"<html>not found</html>", "not a zip file"),
    "next to nothing": (lambda: b"\0", "not a zip file"),
    "truncated": (lambda: packed(manifest=MANIFEST, config="minWorkers: 1")[:-30], "not a zip file"),
    "damaged": (damaged, "Bad CRC-32"),
    "no MAR-INF": (lambda: packed(config="minWorkers: 1"), "no item named 'MAR-INF/MANIFEST.json'"),
    "no JSON": (lambda: packed(manifest="{"), "Expecting property name"),
    "a list": (lambda: packed(manifest="[1]"), "tells of no model"),
    "model is no object": (lambda: packed(manifest='{"model": "dive"}'), "tells of no model"),
    "no model": (lambda: packed(manifest="{}"), "tells of no model"),
    "odd config file": (lambda: packed(manifest='{"model": {"configFile": 7}}'), "7"),
    "nested": (lambda: packed(manifest="[" * 100_000), "recursion"),
    "no text": (lambda: packed(manifest=b"\xff\xfe\x00"), "decode"),
    "config missing": (lambda: packed(manifest=MANIFEST), "no item named 'model-config.yaml'"),
    "config no YAML": (lambda: packed(manifest=MANIFEST, config="a: b: c"), "mapping values"),
    "config a list": (lambda: packed(manifest=MANIFEST, config="- 1"), "model-config.yaml is no mapping"),
    "config a bomb": (lambda: packed(manifest=MANIFEST, config=b" " * 5_000_000), "5,000,000 bytes"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_archive_is_named_and_the_record_has_its_fault(name: str, bench: Bench) -> None:
    content, fault = BROKEN[name]
    bench.rollout().deploy("1.0.0")
    bench.release("1.1.0", archive=content())
    with pytest.raises(RolloutError) as caught:
        bench.rollout().deploy("1.1.0")
    told = str(caught.value)
    assert told.startswith("1.1.0 was not deployed, 1.0.0 serves: ")
    assert "releases/1.1.0/dive-1.1.0.mar is no archive that TorchServe could serve: " in told
    assert fault in told
    assert "\n" not in told
    assert bench.state.last == told
    assert bench.consistent("1.0.0")
    assert len(bench.running) == 1


def test_a_bug_of_ours_is_told_with_its_place_and_undone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(_: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'x'")

    bench.rollout().deploy("1.0.0")
    monkeypatch.setattr("springboard.deploy.instances.Instance.warm_up", odd)
    with pytest.raises(RolloutError, match=r"1\.0\.0 serves: .*a fault of ours, \w+\.py:\d+"):
        bench.rollout().deploy("1.1.0")
    assert bench.consistent("1.0.0")


def test_workers_are_written_into_the_instances_own_archive(bench: Bench) -> None:
    bench.release("1.0.0")
    one = assemble.make(bench.layout, bench.host, "1.0.0")
    three = assemble.make(bench.layout, beside_of(bench.host, 3), "1.0.0")
    original = bench.layout.releases / "1.0.0/dive-1.0.0.mar"
    assert (one.folder / "model-store/dive-1.0.0.mar").samefile(original)
    with zipfile.ZipFile(three.folder / "model-store/dive-1.0.0.mar") as archive:
        assert archive.testzip() is None
        config = yaml.safe_load(archive.read("model-config.yaml"))
    assert (config["minWorkers"], config["maxWorkers"]) == (3, 3)
    assert one.served.address != three.served.address
