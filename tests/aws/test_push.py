"""playbooks/push.yml: ECR is the stand-in's, the engine one that writes down what it is told."""

import os
from pathlib import Path

import pytest

from springboard.system.checkout import ROOT
from tests.aws.conftest import REGION
from tests.aws.harness import Aws, Checkout

# Refuses what docker refuses: a password that is not on its standard input, a push before a log-in.
ENGINE = r"""#!/bin/sh
here=$(dirname "$0")
[ "$1" = --version ] && exit 0
echo "$*" >>"$here/calls"
case $1 in
  build) [ -f Containerfile ] ;;
  login) cat >"$here/password" && [ -s "$here/password" ] && touch "$here/in" ;;
  push) [ -e "$here/in" ] || { echo "no basic auth credentials" >&2; exit 1; } ;;
  logout) rm "$here/in" ;;
  *) exit 125 ;;
esac
"""

MANIFEST = '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}'


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(ENGINE)
    (folder / "docker").chmod(0o755)
    return folder


def test_image_is_built_and_put_to_a_repository_whose_tags_stay(
    aws: Aws, tmp_path: Path, engine: Path
) -> None:
    checkout = Checkout(
        tmp_path / "checkout", aws, springboard_deployment="images", springboard_region=REGION
    )
    (tmp_path / "checkout" / "Containerfile").write_bytes((ROOT / "Containerfile").read_bytes())
    path = f"{engine}:{os.environ['PATH']}"
    ecr = aws.client("ecr", REGION)

    unnamed = checkout.play("push", PATH=path)
    assert unnamed.code != 0
    assert "Give a tag" in unnamed.text
    checked = checkout.play("push", "--check", "-e", "tag=1.0.0", PATH=path)
    assert (checked.code, checked.changed > 0) == (0, True), checked.text
    assert not (engine / "calls").exists()
    assert ecr.describe_repositories()["repositories"] == []

    run = checkout.play("push", "-e", "tag=1.0.0", "-e", "container_image_base=debian:12", PATH=path)
    assert run.code == 0, run.text
    (repository,) = ecr.describe_repositories()["repositories"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    image = f"{repository['repositoryUri']}:1.0.0"
    registry = image.partition("/")[0]
    build, *rest = (engine / "calls").read_text().splitlines()
    assert (
        build
        == f"build --file Containerfile --tag {image} --build-arg TORCH=cuda --build-arg BASE=debian:12 ."
    )
    assert rest == [
        f"login --username AWS --password-stdin {registry}",
        f"push {image}",
        f"logout {registry}",
    ]
    assert (engine / "password").read_text() not in run.text

    # As ECR has it after the push.
    ecr.put_image(repositoryName="springboard", imageManifest=MANIFEST, imageTag="1.0.0")
    again = checkout.play("push", "-e", "tag=1.0.0", PATH=path)
    assert (again.code, again.changed) == (0, 0), again.text
    assert len((engine / "calls").read_text().splitlines()) == 4


def test_machine_without_an_engine_is_told_so(aws: Aws, tmp_path: Path) -> None:
    checkout = Checkout(tmp_path, aws, springboard_deployment="images", springboard_region=REGION)
    run = checkout.play("push", "-e", "tag=1.0.0", "-e", "container_image_engine=docker-that-is-not-here")
    assert run.code != 0
    assert "Nothing here builds images" in run.text
