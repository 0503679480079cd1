"""Which variables are refused before anything is made, and which not: all cases in one run of Ansible."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from springboard.system.checkout import ROOT

pytestmark = pytest.mark.xdist_group("refusals")
ACCOUNT = {"ansible.builtin.include_tasks": str(ROOT / "playbooks/tasks/aws_account.yml")}
BUCKET = {"ansible.builtin.include_role": {"name": "model_bucket", "tasks_from": "preflight"}}
PLACES = {"ansible.builtin.include_role": {"name": "job_queue", "tasks_from": "places"}}
NETWORKS = {"ansible.builtin.include_role": {"name": "aws_host", "tasks_from": "variables"}}
VARIABLES = {"ansible.builtin.include_tasks": str(ROOT / "playbooks/tasks/host_variables.yml")}
FLEETS = {"ansible.builtin.include_role": {"name": "fleet", "tasks_from": "variables"}}
KEYS = {"ansible.builtin.include_tasks": str(ROOT / "playbooks/tasks/keys_store.yml")}
ISSUED = {"keys_store_shows": True, "keys_store_take": "", "keys_store_argv": ["create", "coach"]}
# Where it goes on, it asks AWS, which nobody can here; or ends.
ASKS = "AWS takes no credentials from this machine"
NAMED = {"springboard_deployment": "pool", "springboard_region": "us-east-1"}
GIVEN = {
    "aws_host_models_bucket": "some-models",
    "aws_host_allowed_cidrs": ["203.0.113.0/24"],
    "aws_host_admin_cidrs": ["203.0.113.7/32"],
    "aws_host_key_name": "mine",
}


def account(said: str, **given: Any) -> tuple[dict[str, Any], dict[str, Any], str]:
    return ACCOUNT, NAMED | given, said


def tag(said: str, key: Any, value: Any = "x") -> tuple[dict[str, Any], dict[str, Any], str]:
    return account(said, springboard_tags={key: value})


def bucket(said: str, name: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    return BUCKET, {"model_bucket_name": name, "model_bucket_manage": True, **NAMED}, said


def networks(said: str, **given: Any) -> tuple[dict[str, Any], dict[str, Any], str]:
    return NETWORKS, NAMED | GIVEN | given, said


def places(said: str, **given: Any) -> tuple[dict[str, Any], dict[str, Any], str]:
    side = {"job_queue_input": "s3://dives/in", "job_queue_output": "s3://dives/out", "job_queue_failure": ""}
    return PLACES, NAMED | side | {"springboard_video_buckets": ["dives"]} | given, said


def variables(said: str, **given: Any) -> tuple[dict[str, Any], dict[str, Any], str]:
    return VARIABLES, {"springboard_models_bucket": "some-models"} | given, said


def fleets(said: str, **given: Any) -> tuple[dict[str, Any], dict[str, Any], str]:
    return FLEETS, NAMED | FLEET | given, said


CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-0000-4000-8000-0123456789ab"
FLEET: dict[str, Any] = {
    "fleet_certificate_arn": CERTIFICATE,
    "fleet_image": "ami-0123456789abcdef0",
    "springboard_channel": True,
    "springboard_edge": False,
    "springboard_keys_secret": "pool-keys",
    "springboard_keys_follow": True,
    "fleet_schedule": [
        {"name": "finals", "recurrence": "30 17 * * 6", "time_zone": "Europe/Berlin", "min": 4, "max": 12},
        {"name": "after", "recurrence": "0 22 * * 6", "max": 4},
    ],
}
# Each with what is said of it; all at once.
FAULTS: dict[str, tuple[Any, str]] = {
    "springboard_deployment": ("a" * 27, "of which '-fleet' is six"),
    "fleet_certificate_arn": (
        CERTIFICATE.replace("us-east-1", "eu-west-1"),
        "of ACM in us-east-1",
    ),
    "fleet_image": ("ami-mine", "fleet_image is 'ami-mine'"),
    "fleet_instance_types": (["g5.xlarge", "p5.48xlarge"], "the families g4dn, g5, g6 and g6e"),
    "fleet_min": (5, "fleet_min is 5 and fleet_max 4"),
    "fleet_spot_percent": (101, "fleet_spot_percent 101, 0 to 100"),
    "fleet_requests_per_minute": (0, "fleet_requests_per_minute is 0, more than 0"),
    "fleet_jobs_per_host": (5, "and there is no queue"),
    "fleet_schedule": (
        [{"name": "finals", "recurrence": "30 17 * *", "min": 9, "max": 3}, {"recurrence": "@daily"}],
        "has a name of its own",
    ),
    "fleet_health_timeout_seconds": (10, "fleet_health_timeout_seconds 10, at least 2 and less"),
    "fleet_healthy_count": (1, "fleet_healthy_count is 1"),
    "fleet_grace_seconds": (30, "hosts are replaced while they boot"),
    "fleet_drain_seconds": (60, "scale-in cuts requests off"),
    "fleet_slow_start_seconds": (20, "30 to 900, or 0 for none"),
    "fleet_idle_seconds": (60, "callers get a 504 before the answer"),
    "model_bucket_kms_key_arn": (
        "arn:aws:kms:us-east-1:123456789012:key/1",
        "set fleet_access_log_days to 0",
    ),
    "springboard_channel": (False, "springboard_channel is false"),
    "springboard_edge": (True, "springboard_edge is true"),
    "springboard_keys_follow": (False, "springboard_keys_follow false"),
}
OF_SCHEDULE = ("five fields as cron has them", "no more than its max")


CASES = {
    "what AWS takes": account(
        ASKS,
        springboard_region="ap-southeast-5",
        springboard_tags={"Team": "Diving: 10 m+", "Größe": "groß", "empty": ""},
    ),
    "an apostrophe in a deployment's name": account("(it is 'o'hara')", springboard_deployment="o'hara"),
    "an umlaut in a deployment's name": account("(it is 'köln')", springboard_deployment="köln"),
    "a deployment's name of 32": account("to 2 to 31 lower-case letters", springboard_deployment="a" * 32),
    "a deployment's name that EC2 keeps": account("not sg- first", springboard_deployment="sg-pool"),
    "a deployment's name that ends a line": account("not sg- first", springboard_deployment="pool\n"),
    "a zone for a region": account("to a region, such as", springboard_region="us-east-1a"),
    "a tag with an apostrophe": tag("has Team: Joe's", "Team", "Joe's"),
    "a tag with a line's end": tag("has Team: x", "Team", "x\n"),
    "a tag with a tab": tag("has Team: ", "Team", "a\tb"),
    "a tag of AWS's": tag("has aws:cost: x", "aws:cost"),
    "a tag of AWS's in capitals": tag("has AWS:cost: x", "AWS:cost"),
    "our tag": tag("has springboard:role: x", "springboard:role"),
    "the tag that hosts are found by": tag("has Name: x. Keys", "Name"),
    "a tag's key of 129": tag("Keys (up to 128)", "k" * 129),
    "a tag's value of 257": tag("values (up to 256)", "Team", "v" * 257),
    "a number": tag("in quotes where they look like numbers", "CostCenter", 4711),
    "a number for a key": tag("in quotes where they look like numbers", 4711),
    "47 tags": account("At most 46 beside ours", springboard_tags={f"t{n}": "x" for n in range(47)}),
    "a bucket of two": bucket("to a bucket name: 3", "ab"),
    "a bucket in capitals": bucket("to a bucket name: 3", "Models"),
    "a bucket's underscore": bucket("to a bucket name: 3", "my_models"),
    "a bucket with two dots": bucket("single dots", "my..models"),
    "a bucket like an address": bucket("no address", "192.0.2.1"),
    "a bucket that S3 keeps": bucket("what S3 keeps for itself", "models-s3alias"),
    "a place for a new key that is none": (
        KEYS,
        {"__keys_kept": "{}", "keys_store_out": "/nowhere/coach.env", **ISSUED},
        "/nowhere/coach.env cannot be written: there is no folder of it.",
    ),
    "places side by side": places(""),
    "places whose names begin alike": places("", job_queue_output="s3://dives/in2/"),
    "a whole bucket": places("", job_queue_input="s3://dives/", job_queue_output="s3://scores"),
    "no place for videos": places("job_queue_input is ''; set it in inventory", job_queue_input=""),
    "a place that S3's filters read otherwise": places(
        "in a code of their own", job_queue_input="s3://dives/in put"
    ),
    "a place for videos that ends a line": places(
        "job_queue_input is 's3://dives", job_queue_input="s3://dives/in\n"
    ),
    "no place for results": places("'' is no place for results", job_queue_output=""),
    "a folder for failures": places(
        "'/srv/x' is no place for results or failures", job_queue_failure="/srv/x"
    ),
    "results among videos": places(
        "s3://dives/in/out (job_queue_output", job_queue_output="s3://dives/in/out/"
    ),
    "failures among videos": places("without end", job_queue_failure="s3://dives/in"),
    "videos among results": places("be passed over as an answer", job_queue_output="s3://dives"),
    "results in the bucket that is dropped into": places("without end", job_queue_input="s3://dives"),
    "a bucket that hosts take no videos from": places(
        "no videos from dives: add it to springboard_video_buckets", springboard_video_buckets=["others"]
    ),
    "fewer receives than attempts": places(
        "to a number above async.max_attempts (100)",
        springboard_deploy_settings={"async": {"max_attempts": 100, "output": "s3://dives/out"}},
    ),
    "more receives than SQS counts": places("up to 1000, SQS' own limit", job_queue_max_receives=1001),
    "networks": networks(""),
    "a network that is none": networks(
        "aws_host_allowed_cidrs is", aws_host_allowed_cidrs=["203.0.256.0/24"]
    ),
    "a network in IPv6": networks("to the IPv4 networks", aws_host_allowed_cidrs=["2001:db8::/32"]),
    "an address without a length": networks("aws_host_admin_cidrs is", aws_host_admin_cidrs=["203.0.113.7"]),
    "a host's control plane": variables("", springboard_control=True),
    "a control plane that nobody signs to": variables(
        "whoever deploys has to sign: it must be [sigv4]",
        springboard_control=True,
        springboard_auth=["bearer"],
    ),
    "a control plane for anybody": variables(
        "whoever deploys has to sign", springboard_control=True, springboard_auth=["none"]
    ),
    "a control plane and a channel": variables("", springboard_control=True, springboard_channel=True),
    "ARNs of nobody's": variables("it must be REGION:ACCOUNT", springboard_control_as="us-east-1"),
    "a Prometheus": variables("", springboard_control_prometheus="https://watch.example.org:9090/prometheus"),
    "a Prometheus with a password": variables(
        "is no URL without a password", springboard_control_prometheus="http://me:secret@10.0.0.9:9090"
    ),
    "a fleet": fleets(""),
    "a fleet of which nothing is right": fleets(
        "In inventory/group_vars/all/fleet.yml", **{name: value for name, (value, _) in FAULTS.items()}
    ),
    "a VPC that is none": networks("looks like 10.77.0.0/16", aws_host_vpc_cidr="10.300.0.0/16"),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("refusals")
    # A loop's failure is its items'.
    failed = "{{ (ansible_failed_result.results | default([ansible_failed_result])) | map(attribute='msg') }}"
    tasks: list[dict[str, Any]] = []
    for name, (task, given, _) in CASES.items():
        note = [{"name": "Note", "ansible.builtin.set_fact": {f"said_{len(tasks)}": failed}}]
        tasks.append({"name": name, "block": [{"name": "Try", **task}], "rescue": note, "vars": given})
    noted = [f"{{{{ said_{number} | default([]) }}}}" for number in range(len(tasks))]
    tasks.append({"name": "Tell", "ansible.builtin.copy": {"content": noted, "dest": str(folder / "said")}})
    local = {"connection": "local", "vars": {"ansible_python_interpreter": sys.executable}}
    plays = [{"name": "Try all", "hosts": "localhost", "gather_facts": False, **local, "tasks": tasks}]
    (folder / "play.yml").write_text(yaml.safe_dump(plays))
    (folder / "hosts.yml").write_text("springboard:\n  hosts: {one.example.org: {}}\n")
    (folder / "group_vars").symlink_to(ROOT / "inventory" / "group_vars")
    nobody = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "HOME": str(folder)}
    found = {"ANSIBLE_CONFIG": "ansible.cfg", "ANSIBLE_LIBRARY": "playbooks/library"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", folder / "hosts.yml", folder / "play.yml"],
        cwd=ROOT,
        env=environment | nobody | found,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((folder / "said").read_text())
    return {name: " ".join(one) for name, one in zip(CASES, told, strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_what_aws_would_refuse_is_refused_before_it_and_nothing_else(name: str, said: dict[str, str]) -> None:
    wanted = CASES[name][2]
    assert (wanted in said[name]) if wanted else not said[name], said[name]


@pytest.mark.parametrize("words", [*(words for _, words in FAULTS.values()), *OF_SCHEDULE])
def test_all_of_a_fleets_faults_are_told_at_once(words: str, said: dict[str, str]) -> None:
    assert words in said["a fleet of which nothing is right"]
