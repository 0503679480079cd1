"""playbooks/image.yml on a stand-in AWS, as a user whom the shipped policies alone allow anything.

Nobody can log in to an instance of the stand-in, so what is done on hosts is left out here;
tests/hosts/test_image.py has it.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from springboard.deploy.channel import Channel, Channels
from tests.aws.fleet import issued, provisioned
from tests.aws.harness import Aws, Checkout, Run
from tests.aws.inspect import tagged
from tests.aws.test_policies import actions

pytestmark = pytest.mark.xdist_group("aws")
REGION = "ap-south-1"
# What is done on the host that an image is taken of, and on the one that it is tried on.
BUILT = [{"ansible.builtin.set_fact": {"__image_built": {"runtime": "0a1b2c"}}}]
SERVES = [{"ansible.builtin.set_fact": {"__image_serves": True}}]
FAILS = [{"ansible.builtin.fail": {"msg": "as the tests say"}}]
AWAY = [{"ansible.builtin.raw": "true", "vars": {"ansible_host": "127.0.0.1", "ansible_port": 1}}]


class Cove:
    """A deployment, and somebody who makes images for its fleet."""

    def __init__(self, aws: Aws, checkout: Checkout) -> None:
        self.aws, self.checkout = aws, checkout
        self.ec2 = aws.client("ec2", REGION)

    def image(self, *arguments: str, built: object = BUILT, tried: object = SERVES) -> Run:
        for part, tasks in (("build", built), ("try", tried)):
            path = self.checkout.folder / f"playbooks/roles/image/tasks/{part}.yml"
            path.write_text(yaml.safe_dump(tasks))
        return self.checkout.play("image", *arguments)

    def images(self) -> list[dict[str, Any]]:
        """Those that there are, the oldest first."""
        ours = [{"Name": "tag:springboard:role", "Values": ["image"]}]
        found: list[dict[str, Any]] = self.ec2.describe_images(Owners=["self"], Filters=ours)["Images"]
        return sorted(found, key=lambda one: str(one["Name"]))

    def left(self, *kinds: str) -> set[str]:
        return {name for kind, name in tagged(self.aws, REGION, "cove") if kind in kinds}

    def told(self, name: str) -> list[Any]:
        """User data and image of each instance that had a name."""
        named = [{"Name": "tag:Name", "Values": [name]}]
        return [
            one
            for reservation in self.ec2.describe_instances(Filters=named)["Reservations"]
            for one in reservation["Instances"]
        ]


@pytest.fixture(scope="module")
def cove(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Cove:
    folder = tmp_path_factory.mktemp("cove")
    provisioned(aws, REGION, "cove")
    aws.publish_ami(REGION, "20261001")
    aws.client("s3", REGION).create_bucket(
        Bucket="cove-models", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    checkout = Checkout(
        folder / "checkout",
        aws,
        springboard_deployment="cove",
        springboard_region=REGION,
        springboard_models_bucket="cove-models",
        springboard_channel=True,
        springboard_edge=True,
        springboard_keys_secret="cove-keys",
        springboard_keys_follow=True,
        aws_host_allowed_cidrs=["203.0.113.0/24"],
        aws_host_admin_cidrs=["203.0.113.7/32"],
        aws_host_public_key_file="key.pub",
        fleet_certificate_arn=issued(aws, REGION, folder),
    )
    for part in ("springboard", "model_handler", "requirements"):
        (checkout.folder / part).mkdir()
    (checkout.folder / "config.properties").touch()
    checkout.restrict("cove")
    return Cove(aws, checkout)


# The life of its images. Each step follows the one it names.
@pytest.fixture(scope="module")
def refused(cove: Cove) -> dict[str, Run]:
    """What no host of a fleet could come up from, a channel that names nothing, a fleet without an image."""
    runs = {"edge": cove.image()}
    cove.checkout.edit(springboard_edge=False)
    return runs | {"channel": cove.image(), "fleet": cove.checkout.play("fleet")}


@pytest.fixture(scope="module")
def image_checked(cove: Cove, refused: object) -> Run:
    channels = Channels("s3://cove-models", cove.aws.client("s3", REGION))
    channels.write("dive-scoring", Channel(release="1.0.0"), None)
    return cove.image("--check")


@pytest.fixture(scope="module")
def failed(cove: Cove, image_checked: object) -> dict[str, tuple[Run, set[str]]]:
    """Runs that end early, and what each leaves."""
    runs: dict[str, Callable[[], Run]] = {
        "sold out": lambda: _sold_out(cove),
        "away": lambda: cove.image(built=AWAY),
        "try": lambda: cove.image(tried=FAILS),
    }
    kinds = ("instance", "volume", "image", "snapshot", "elastic-ip")
    return {name: (run(), cove.left(*kinds)) for name, run in runs.items()}


def _sold_out(cove: Cove) -> Run:
    cove.aws.tell("sold-out", **{"g4dn.xlarge": ",".join(f"{REGION}{zone}" for zone in "abc")})
    run = cove.image()
    cove.aws.tell("sold-out")
    return run


def _left_over(cove: Cove) -> str:
    """A host, and an image of it, as a run leaves them that was killed."""
    ours = {"springboard:deployment": "cove", "springboard:role": "image", "Name": "cove-image"}
    tags = [{"Key": key, "Value": value} for key, value in ours.items()]
    (ami, *_) = cove.ec2.describe_images(Owners=["self"])["Images"]
    given = {"ImageId": ami["ImageId"], "InstanceType": "g4dn.xlarge", "MinCount": 1, "MaxCount": 1}
    (host,) = cove.ec2.run_instances(**given, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])[
        "Instances"
    ]
    made = [{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")]
    image = cove.ec2.create_image(InstanceId=host["InstanceId"], Name="cove-0", TagSpecifications=made)
    return str(image["ImageId"])


@pytest.fixture(scope="module")
def image_made(cove: Cove, failed: object) -> Run:
    """After a run that was killed."""
    _left_over(cove)
    run = cove.image()
    assert run.code == 0, run.text
    return run


@pytest.fixture(scope="module")
def first(cove: Cove, image_made: object) -> dict[str, Any]:
    (image,) = cove.images()
    return image


@pytest.fixture(scope="module")
def image_again(cove: Cove, first: object) -> Run:
    return cove.image()


@pytest.fixture(scope="module")
def kept(cove: Cove, image_again: object, first: dict[str, Any]) -> list[str]:
    """The images that are made by four runs, of which the newest is to be kept.

    The first is a host's, the second the launch template's.
    """
    cove.checkout.edit(image_keep=1)
    ours = [{"Key": "springboard:deployment", "Value": "cove"}]
    found = [first["ImageId"]]
    cove.ec2.run_instances(ImageId=found[0], InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1)
    (cove.checkout.folder / "springboard/changed.py").write_text("# and so another image")
    for number in range(3):
        run = cove.image(*(["-e", "image_anew=true"] if number else []))
        assert run.code == 0, run.text
        found.append(cove.images()[-1]["ImageId"])
        if number == 0:
            cove.ec2.create_launch_template(
                LaunchTemplateName="cove-fleet",
                LaunchTemplateData={"ImageId": found[-1]},
                TagSpecifications=[{"ResourceType": "launch-template", "Tags": ours}],
            )
    return found


@pytest.fixture(scope="module")
def images_down(cove: Cove, kept: object) -> dict[str, Run]:
    cove.aws.grant(REGION, 100)
    return {
        "fleet": cove.checkout.play("fleet", "--check"),
        "kept": cove.checkout.play("teardown", "-e", "teardown_images=false"),
        "down": cove.checkout.play("teardown", "-e", "teardown_confirm=cove"),
    }


def test_what_no_host_of_a_fleet_could_come_up_from_is_refused(refused: dict[str, Run]) -> None:
    assert [(run.code, run.changed) for run in refused.values()] == [(2, 0)] * 3
    assert "springboard_edge is true, but the balancer ends TLS" in refused["edge"].text
    assert "The channel of dive-scoring names no release" in refused["channel"].text
    assert "one that playbooks/image.yml made; available" in refused["fleet"].text


def test_check_mode_says_what_would_be_made_and_makes_nothing(cove: Cove, image_checked: Run) -> None:
    assert image_checked.code == 0, image_checked.text
    assert "Would launch cove-image from ami-" in image_checked.text
    assert "give it 1.0.0" in image_checked.text


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("sold out", "cove-image is not up: EC2 has none now. Tried g4dn.xlarge in"),
        ("away", "No image was made, and no host is left. cove-image failed, as is told above."),
        ("try", "No image was made, and no host is left. cove-image-trial failed, as is told above."),
    ],
)
def test_a_run_that_fails_leaves_nothing(
    failed: dict[str, tuple[Run, set[str]]], run: str, said: str
) -> None:
    done, left = failed[run]
    assert done.code != 0
    assert said in done.text
    assert left == set()


def test_an_image_is_encrypted_tagged_and_says_what_is_in_it(image_made: Run, first: dict[str, Any]) -> None:
    assert f"fleet_image: {first['ImageId']} has 1.0.0 and was seen to serve" in image_made.text
    (disk,) = first["BlockDeviceMappings"]
    assert (disk["Ebs"]["Encrypted"], disk["Ebs"]["VolumeSize"]) == (True, 150)
    tags = {tag["Key"]: tag["Value"] for tag in first["Tags"]}
    told = {key.removeprefix("springboard:"): value for key, value in tags.items()}
    assert told["deployment"] == "cove"
    assert (told["release"], told["runtime"], told["tested"]) == ("1.0.0", "0a1b2c", "true")


def test_it_was_tried_by_a_host_as_the_fleet_makes_them(
    image_made: object, cove: Cove, first: dict[str, Any]
) -> None:
    tried = next(one for one in cove.told("cove-image-trial") if one["ImageId"] == first["ImageId"])
    assert tried["State"]["Name"] == "terminated"
    asked = cove.ec2.describe_instance_attribute(InstanceId=tried["InstanceId"], Attribute="userData")
    assert "springboard-keys-follow.service" in base64.b64decode(asked["UserData"]["Value"]).decode()


def test_nothing_is_left_but_the_image(image_made: object, cove: Cove, first: dict[str, Any]) -> None:
    assert cove.left("instance", "volume", "elastic-ip") == set()


def test_a_second_run_makes_no_second_image(image_again: Run, cove: Cove, first: dict[str, Any]) -> None:
    assert (image_again.code, image_again.changed) == (0, 0), image_again.text
    assert f"fleet_image: {first['ImageId']} has all that a new one would have" in image_again.text


def test_what_is_kept_is_the_newest_and_what_is_used(cove: Cove, kept: list[str]) -> None:
    a_host_s, the_template_s, nobody_s, newest = kept
    assert len({*kept}) == 4
    assert {one["ImageId"] for one in cove.images()} == {a_host_s, the_template_s, newest}
    assert nobody_s not in (a_host_s, the_template_s, newest)


def test_the_fleet_takes_the_newest(images_down: dict[str, Run], kept: list[str]) -> None:
    assert images_down["fleet"].code == 0, images_down["fleet"].text
    assert f"from {kept[-1]}" in images_down["fleet"].text


def test_teardown_deletes_images_and_snapshots_unless_told(
    images_down: dict[str, Run], cove: Cove, kept: list[str]
) -> None:
    assert f"- image {kept[-1]}" in images_down["kept"].text.split("to keep:")[1]
    assert images_down["down"].code == 0, images_down["down"].text
    assert f"- image {kept[-1]}" in images_down["down"].text.split("to delete:")[1].split("to keep:")[0]
    assert cove.left("image", "snapshot", "launch-template", "vpc") == set()


def test_the_policies_allow_what_was_asked_and_nothing_more(
    images_down: object, aws: Aws, cove: Cove
) -> None:
    folder, users = cove.checkout.folder / "build/policies", cove.checkout.users
    policies = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("image", "teardown")}
    assert all(len(json.dumps(one, separators=(",", ":"))) <= 6144 for one in policies.values())
    assert actions(policies["image"]) - aws.asked(users["image"]) == set()
    about = {one for one in actions(policies["teardown"]) if "Image" in one or "Snapshot" in one}
    assert about - aws.asked(users["teardown"]) == set()


def test_of_others_no_image_can_be_removed(images_down: object, aws: Aws, cove: Cove) -> None:
    (theirs, *_) = aws.client("ec2", REGION).describe_images(Owners=["self"])["Images"]
    for user in ("image", "teardown"):
        ec2 = aws.client("ec2", REGION, cove.checkout.users[user])
        with pytest.raises(ClientError, match="not authorized to perform"):
            ec2.deregister_image(ImageId=theirs["ImageId"])
