from pathlib import Path

import pytest

from springboard.endpoint.document import EndpointFileError, Reference, load

VALID = """\
endpoint: dives
variants:
  - name: stable
    release: 1.0.0
    address: http://127.0.0.1:8090
    weight: 90
    reference: {mean: 67.1, sd: 16.9, clips: 353}
  - name: canary
    release: 1.1.0
    address: http://127.0.0.1:8100
    weight: 10
shadow:
  release: 1.2.0
  address: http://127.0.0.1:8110
  sample_percent: 25
"""


def test_a_valid_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "endpoint.yml").write_text(VALID)
    endpoint = load(tmp_path / "endpoint.yml")
    assert [(v.name, v.release, v.weight) for v in endpoint.variants] == [
        ("stable", "1.0.0", 90),
        ("canary", "1.1.0", 10),
    ]
    assert endpoint.variants[0].management == "http://127.0.0.1:8091"
    assert endpoint.variants[0].metrics == "http://127.0.0.1:8092"
    assert endpoint.variants[0].reference == Reference(mean=67.1, sd=16.9, clips=353)
    assert endpoint.shadow is not None
    assert endpoint.shadow.sample_percent == 25
    assert endpoint.limits.max_body_bytes == 25_000_000


@pytest.mark.parametrize(
    ("was", "becomes", "line", "reason"),
    [
        ("weight: 90", "weight: -1", 6, "greater than or equal to 0"),
        ("weight: 90", "wieght: 90", 6, "Extra inputs"),
        ("release: 1.1.0", "release: newest", 9, "pattern"),
        ("sd: 16.9", "sd: 0", 7, "greater than 0"),
        ("name: canary", "name: stable", 1, "must differ"),
        ("weight: 10", "weight: [", 13, "expected"),
        ("weight: 10", "weight: 10\n    weight: 20", 12, "stands twice"),
        ("8100", "8090", 1, "TorchServe of its own"),
        ("variants:", "variants:\nignored:", 2, "valid tuple"),
        ("8090", "80900", 3, "between 1 and 65535"),
        ("name: canary", "name: \x07", 1, "special characters"),
        ("release: 1.1.0", "release: 2026-13-45", 1, "month must be"),
        ("name: canary", "name: canary\n    [a, b]: c", 9, "unhashable"),
        ("variants:", "loop: &x [*x]\nvariants:", 2, "recursion"),
        ("sample_percent: 25", "sample_percent: 250", 15, "less than or equal to 100"),
    ],
)
def test_a_fault_is_named_with_its_line(
    tmp_path: Path, was: str, becomes: str, line: int, reason: str
) -> None:
    path = tmp_path / "endpoint.yml"
    path.write_text(VALID.replace(was, becomes, 1))
    with pytest.raises(EndpointFileError) as caught:
        load(path)
    found = [fault for fault in str(caught.value).splitlines() if reason in fault]
    assert found, caught.value
    assert found[0].startswith(f"{path}:{line}:")


def test_a_missing_file_is_a_fault_and_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(EndpointFileError, match="No such file"):
        load(tmp_path / "absent.yml")


def test_sockets_are_addresses_and_the_others_lie_beside(tmp_path: Path) -> None:
    at = "unix:/var/lib/springboard/instances/1.0.0_ab/sockets"
    (tmp_path / "endpoint.yml").write_text(VALID.replace("http://127.0.0.1:8090", f"{at}/inference"))
    stable = load(tmp_path / "endpoint.yml").variants[0]
    assert (stable.address, stable.management, stable.metrics) == (
        f"{at}/inference",
        f"{at}/management",
        f"{at}/metrics",
    )


def test_all_weights_zero_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "endpoint.yml"
    path.write_text(VALID.replace("weight: 90", "weight: 0").replace("weight: 10", "weight: 0"))
    with pytest.raises(EndpointFileError, match="above 0"):
        load(path)
