"""The endpoint at work: shares, sessions, live edits, the shadow."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving.front.conftest import Stage
from tests.stands.front import FrontProcess, write_endpoint
from tests.stands.waiting import wait_until

pytestmark = pytest.mark.xdist_group("front")


@pytest.fixture(scope="module")
def file(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("edited") / "endpoint.yml"
    return write_endpoint(path, [("stable", stage.stable, 90), ("canary", stage.canary, 10)])


@pytest.fixture(scope="module")
def edited(file: Path) -> Iterator[FrontProcess]:
    with FrontProcess("--endpoint-file", file, "--log-json") as front:
        front.wait_ready()
        wait_until(lambda: all(v["workers"]["ready"] for v in front.state()["variants"]), "all variants")
        yield front


def variants(front: FrontProcess, count: int, **headers: str) -> Counter[str]:
    return Counter(
        front.score(b"x", **headers).headers["x-amzn-invoked-production-variant"] for _ in range(count)
    )


def test_ninety_to_ten_is_exact(edited: FrontProcess) -> None:
    for _ in range(3):
        assert variants(edited, 10) == {"stable": 9, "canary": 1}


def test_a_session_stays(edited: FrontProcess) -> None:
    for session in ("a", "b", "c"):
        assert len(variants(edited, 5, X_Amzn_SageMaker_Session_Id=session)) == 1


def test_an_edit_is_taken_over_and_an_invalid_one_is_not(
    edited: FrontProcess, file: Path, stage: Stage
) -> None:
    both = [("stable", stage.stable, 1), ("canary", stage.canary, 1)]
    write_endpoint(file, both)
    wait_until(lambda: edited.state()["variants"][0]["weight"] == 1, "the edit")
    assert variants(edited, 10) == {"stable": 5, "canary": 5}

    valid = file.read_text()
    file.write_text(valid.replace("weight: 1", "weight: many", 1))
    wait_until(lambda: edited.metric("springboard_endpoint_file_valid") == 0, "the invalid edit to show")
    assert variants(edited, 10) == {"stable": 5, "canary": 5}
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "many" in text)
    # Who looks while it is written finds it empty, and says so first.
    place = f"{file}:{line}: variants.0.weight"
    wait_until(lambda: any(place in told for told in edited.log), "the fault, with its place")

    write_endpoint(file, [("stable", stage.stable, 1)])
    wait_until(lambda: len(edited.state()["variants"]) == 1, "the canary to go")
    assert edited.metric("springboard_endpoint_file_valid") == 1
    assert edited.metric("springboard_variant_weight", variant="canary") == 0
    assert variants(edited, 4) == {"stable": 4}
    assert edited.score(b"x", X_Amzn_SageMaker_Target_Variant="canary").status_code == 400


def test_a_dead_variants_share_goes_to_the_living(edited: FrontProcess, file: Path, stage: Stage) -> None:
    write_endpoint(file, [("stable", stage.stable, 1), ("canary", stage.canary, 1)])
    wait_until(lambda: len(edited.state()["variants"]) == 2, "the edit")
    # Nothing listens on port 9 (discard).
    text = file.read_text()
    file.write_text(
        text.replace(stage.canary.served.address, "http://127.0.0.1:9").replace(
            stage.canary.served.management, "http://127.0.0.1:9"
        )
    )
    wait_until(lambda: "does not answer" in str(edited.state()["variants"]), "the canary to be dead")
    assert variants(edited, 10) == {"stable": 10}
    assert httpx.get(f"{edited.url}/ping").status_code == 200
    assert edited.metric("springboard_workers_ready", variant="canary") == 0


def test_the_shadow_sees_a_sample_and_is_compared_while_callers_see_nothing_of_it(
    edited: FrontProcess, file: Path, stage: Stage
) -> None:
    shadow = {
        "release": stage.canary.version,
        "address": stage.canary.served.address,
        "management": stage.canary.served.management,
        "sample_percent": 50,
    }
    write_endpoint(file, [("stable", stage.stable, 1)], shadow=shadow)
    wait_until(lambda: (edited.state()["shadow"] or {}).get("workers", {}).get("ready") == 1, "the shadow")
    for n in range(1, 9):
        assert variants(edited, 1) == {"stable": 1}
        # One at a time: the next is only mirrored once the shadow is done.
        wait_until(lambda: edited.metric("springboard_shadow_requests_total") >= n // 2, "the mirrored one")  # noqa: B023
    assert edited.metric("springboard_shadow_requests_total", outcome="agrees", release="1.1.0") == 4
    assert edited.metric("springboard_shadow_difference_points_bucket", le="0.0") == 4
    assert edited.metric("springboard_requests_total", variant="shadow") == 0
    assert edited.state()["shadow"]["attempts"] == 4


def test_json_logs_carry_the_request_id(edited: FrontProcess) -> None:
    request_id = edited.score(b"raise").headers["x-amzn-requestid"]
    wait_until(
        lambda: sum(request_id in line for line in edited.log) >= 3, "two attempts and the access line"
    )
