"""A stand-in AWS: moto's server with what it lacks for a GPU host.

`python -m tests.stands.aws [ADDRESS PORT]` prints its URL and serves until SIGTERM; by default
on a free port of 127.0.0.1.

Added to moto:
- the Deep Learning Base AMI and Ubuntu's, and the public SSM parameters that name them, in every region of
  `REGIONS`;
- quotas: vCPUs of G instances, 0 at first as in a new account, elastic IPs, and VPCs, for which the account
  has no value of its own at first; an increase asked for is granted at once;
- capacity that is sold out, accounts that are refused and instances that end at once, as told (`aws_room`);
- the console of instances, on which they print their SSH keys (`aws_console`);
- an access key that AWS does not know, `UNKNOWN_KEY`;
- wildcards in the filter of DescribeInstanceTypeOfferings;
- elastic IPs of instances that are terminated are bound to nothing;
- a volume made from nothing names its snapshot: "";
- the description of a security group's rule whose source is another group;
- tags of elastic IPs where DescribeTags is asked for that type alone;
- S3 as if asked over TLS, and conditions on If-None-Match, so that a bucket's policy lets the rest through;
- the patterns and bounds of `aws_rules` and `aws_queues`, so that it refuses the words that AWS refuses;
- S3's events go where a queue's policy lets them (`aws_queues`);
- what is current of a secret after UpdateSecretVersionStage (`aws_secrets`);
- what it forgets of Auto Scaling groups, load balancers and launch templates (`aws_fleet`), and of images
  that are made of instances (`aws_images`).

Policies of users and roles are enforced (`aws_permissions`), signatures and bucket policies' principals not.
"""

import datetime
import io
import json
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any, cast
from urllib.parse import parse_qsl

from flask import request
from moto.core.exceptions import JsonRESTError
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.elastic_block_store import Volume
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import FakeBucket
from moto.servicequotas.models import ServiceQuotasBackend
from moto.servicequotas.responses import ServiceQuotasResponse
from moto.ssm.models import Parameter, ssm_backends
from werkzeug.serving import make_server

from tests.stands import (
    aws_asks,
    aws_console,
    aws_fleet,
    aws_images,
    aws_permissions,
    aws_queues,
    aws_refresh,
    aws_room,
    aws_rules,
    aws_secrets,
)

REGIONS = ("us-west-1", "eu-west-1", "us-east-1")
UNKNOWN_KEY = "AKIAUNKNOWNTOAWS0000"
UBUNTU_PARAMETER = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
AMI_PARAMETER = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
G_QUOTA, SPOT_QUOTA, ADDRESS_QUOTA, VPC_QUOTA = "L-DB2E81BA", "L-3819A6DF", "L-0263D0A3", "L-F678F1CE"
# AWS's own values: https://docs.aws.amazon.com/general/latest/gr/vpc-service.html and .../ec2-service.html
QUOTAS = {
    ("ec2", G_QUOTA): 0.0,
    ("ec2", SPOT_QUOTA): 0.0,
    ("ec2", ADDRESS_QUOTA): 5.0,
    ("vpc", VPC_QUOTA): 5.0,
}

_granted: dict[tuple[str, str], float] = {}


def publish_ami(
    region: str,
    date: str,
    name: str = "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04)",
    named_by: str = AMI_PARAMETER,
) -> str:
    """Publish a Deep Learning Base AMI and let the SSM parameter name it, as AWS does every few weeks."""
    image = ec2_backends[DEFAULT_ACCOUNT_ID][region].register_image(name=f"{name} {date}")
    image.architecture = "x86_64"
    parameter = cast(Any, Parameter)(  # abstract on paper only
        account_id=DEFAULT_ACCOUNT_ID,
        name=named_by,
        value=image.id,
        parameter_type="String",
        description=None,
        allowed_pattern=None,
        keyid=None,
        last_modified_date=datetime.datetime.now(),
        version=1,
        data_type="text",
    )
    ssm_backends[DEFAULT_ACCOUNT_ID][region]._parameters[named_by].append(parameter)
    return str(image.id)


def _quota(backend: ServiceQuotasBackend, service_code: str, quota_code: str) -> dict[str, Any]:
    """For some quotas there is no value but AWS's own, and GetServiceQuota answers that there is none.

    https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
    """
    granted = _granted.get((backend.region_name, quota_code))
    if (service_code, quota_code) not in QUOTAS or (quota_code == VPC_QUOTA and granted is None):
        raise JsonRESTError("NoSuchResourceException", "There is no such quota.")
    value = QUOTAS[service_code, quota_code] if granted is None else granted
    return {"ServiceCode": service_code, "QuotaCode": quota_code, "Value": value, "Adjustable": True}


def _default_quota(response: ServiceQuotasResponse) -> str:
    asked = json.loads(response.body)
    value = QUOTAS[asked["ServiceCode"], asked["QuotaCode"]]
    return json.dumps({"Quota": {**asked, "Value": value, "Adjustable": True}})


def _grant(response: ServiceQuotasResponse) -> str:
    asked = json.loads(response.body)
    assert (asked["ServiceCode"], asked["QuotaCode"]) in QUOTAS, asked
    _granted[response.region, asked["QuotaCode"]] = asked["DesiredValue"]
    return json.dumps({"RequestedQuota": {**asked, "Status": "APPROVED"}})


def _with_snapshot(create: Callable[..., Volume]) -> Callable[..., Volume]:
    def create_volume(*arguments: Any, **options: Any) -> Volume:
        volume = create(*arguments, **options)
        volume.snapshot_id = volume.snapshot_id or ""
        return volume

    return create_volume


def _with_addresses(terminate: Callable[..., Any]) -> Callable[..., Any]:
    def terminate_instances(backend: EC2Backend, instance_ids: list[str]) -> Any:
        for address in backend.addresses:
            if address.instance and address.instance.id in instance_ids:
                backend.disassociate_address(association_id=address.association_id)
        return terminate(backend, instance_ids)

    return terminate_instances


def _description(rule: SecurityGroupRule) -> str | None:
    return rule.ip_range.get("Description") or rule.source_group.get("Description")


def _offering_matches(
    _: EC2Backend, offering: dict[str, str], filters: dict[str, list[str]], location_type: str
) -> bool:
    assert filters.keys() == {"instance-type"}, f"this stand-in knows no other filter: {filters}"
    return any(fnmatchcase(offering["InstanceType"], pattern) for pattern in filters["instance-type"])


def _by_its_conditions(
    verdict: Callable[[FakeBucket, str, str], object],
) -> Callable[[FakeBucket, str, str], object]:
    def permission(bucket: FakeBucket, action: str, resource: str) -> object:
        policy = bucket.policy
        if policy is None:
            return verdict(bucket, action, resource)
        document = json.loads(policy)
        document["Statement"] = [
            statement for statement in document["Statement"] if _holds(statement.get("Condition"))
        ]
        bucket.policy = json.dumps(document).encode()
        try:
            return verdict(bucket, action, resource)
        finally:
            bucket.policy = policy

    return permission


def _holds(condition: dict[str, Any] | None) -> bool:
    """Whether a statement's condition, of those that our policies have, is met by the request at work."""
    if condition is None:
        return True
    if (
        condition == {"Bool": {"aws:SecureTransport": "false"}} or "ArnLike" in condition
    ):  # a service of AWS's
        return False
    assert condition.get("Null") == {"s3:if-none-match": "true"}, f"this stand-in knows no {condition}"
    return "If-None-Match" not in request.headers


class Gate:
    """The server's WSGI application; turns the unknown access key away as STS does."""

    def __init__(self) -> None:
        aws_secrets.correct()
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if f"Credential={UNKNOWN_KEY}/" in environ.get("HTTP_AUTHORIZATION", ""):
            start_response("403 Forbidden", [("Content-Type", "text/xml")])
            return [
                b"<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code>"
                b"<Message>The security token included in the request is invalid.</Message>"
                b"</Error></ErrorResponse>"
            ]
        if found := re.fullmatch(r"/standin/publish-ami/([\w-]+)/(\d+)", environ["PATH_INFO"]):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [publish_ami(found[1], found[2]).encode()]
        told = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        if aws_room.tell(*told) or aws_console.tell(*told) or aws_refresh.tell(*told):
            start_response("204 No Content", [])
            return []
        if found := re.fullmatch(r"/standin/asked/(\w+)", environ["PATH_INFO"]):
            start_response("200 OK", [("Content-Type", "application/json")])
            return [aws_permissions.asked(found[1])]
        if answer := _answered(environ):
            status, kind, body = answer
            start_response(status, [("Content-Type", kind)])
            return [body]
        found_by_moto: Iterable[bytes] = self._moto(environ, start_response)
        return found_by_moto


def _answered(environ: dict[str, Any]) -> tuple[str, str, bytes] | None:
    """Return the status, content type and body of a refusal or of what moto lacks; None where it goes on."""
    scope = re.search(r"Credential=([^/]+)/\d+/([^/]*)/([\w-]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    if scope is None:
        return None
    body = b""
    key, region, service = scope.groups()
    query = environ.get("QUERY_STRING", "")
    if service != "s3" or query in ("delete", "notification"):  # the others' bodies are objects
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = aws_queues.lowered(body) if query == "notification" else body
        environ["wsgi.input"] = io.BytesIO(body)
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    request = aws_asks.Request(
        key,
        service,
        region,
        environ["REQUEST_METHOD"],
        environ["PATH_INFO"],
        query,
        target,
        body,
        environ.get("HTTP_X_AMZ_SECURITY_TOKEN", ""),
    )
    if denied := aws_permissions.refused(request):
        return "403 Forbidden", *aws_permissions.answer(service, denied)
    if fault := _fault(environ, request):
        return "400 Bad Request", *fault.answer
    if service == "ec2":
        form = dict(parse_qsl(body.decode()))
        if found := aws_room.find(region, form) or aws_console.find(form):
            return found[0], "text/xml", found[1]
    return None


def _fault(environ: dict[str, Any], request: aws_asks.Request) -> aws_rules.Fault | None:
    """Return what AWS refuses of a request's words."""
    wanted = environ.get("HTTP_X_AMZ_ACL", "")
    if fault := (aws_rules.acl(request.path, wanted) if wanted else None):
        return fault
    service, target, body = request.service, request.target, request.body
    if request.query == "notification" and request.method == "PUT":
        skip = environ.get("HTTP_X_AMZ_SKIP_DESTINATION_VALIDATION", "").lower() == "true"
        return aws_queues.notification(request.path.strip("/"), body, skip)
    if found := aws_fleet.fault(service, body):
        return aws_rules.Fault(service, *found)
    return aws_rules.find(service, request.method, request.path, target, body) or aws_queues.find(
        service, request.region, target, body
    )


def main() -> None:
    """Serve until SIGTERM."""
    setattr(ServiceQuotasBackend, "get_service_quota", _quota)  # noqa: B010 - mypy lets no method be assigned
    setattr(ServiceQuotasResponse, "request_service_quota_increase", _grant)  # noqa: B010
    setattr(ServiceQuotasResponse, "get_aws_default_service_quota", _default_quota)  # noqa: B010
    setattr(FakeBucket, "get_permission", _by_its_conditions(FakeBucket.get_permission))  # noqa: B010
    setattr(EC2Backend, "create_volume", _with_snapshot(EC2Backend.create_volume))  # noqa: B010
    setattr(EC2Backend, "terminate_instances", _with_addresses(EC2Backend.terminate_instances))  # noqa: B010
    setattr(EC2Backend, "run_instances", aws_room.ending(EC2Backend.run_instances))  # noqa: B010
    setattr(EC2Backend, "matches_filters", _offering_matches)  # noqa: B010
    setattr(SecurityGroupRule, "description", property(_description))  # noqa: B010
    aws_queues.install()
    aws_fleet.install()
    aws_images.install()
    aws_refresh.install()
    EC2_PREFIX_TO_RESOURCE["eipalloc"] = "elastic-ip"
    for region in REGIONS:
        publish_ami(region, "20260918")
        publish_ami(region, "20260918", "ubuntu-noble-24.04-amd64-server", UBUNTU_PARAMETER)
    address, port = sys.argv[1:] or ("127.0.0.1", "0")
    server = make_server(address, int(port), Gate(), threaded=True)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"http://{address}:{server.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
