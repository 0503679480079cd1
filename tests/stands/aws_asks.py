"""What a request needs to be allowed: actions on resources, with their context.

It is from the Service Authorization Reference, list_amazonec2.html and its siblings below
https://docs.aws.amazon.com/service-authorization/latest/reference/ : each resource that it names has to be
allowed, what it tags by the rights to tag, a role that it hands on by PassRole.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends

from tests.stands import aws_fleet

# Parameters of EC2's that name what is there already.
_NAMES = {
    "AllocationId": "elastic-ip",
    "GroupId": "security-group",
    "ImageId": "image",
    "InstanceId": "instance",
    "InternetGatewayId": "internet-gateway",
    "SnapshotId": "snapshot",
    "KeyName": "key-pair",
    "LaunchTemplateId": "launch-template",
    "RouteTableId": "route-table",
    "SecurityGroupId": "security-group",
    "SubnetId": "subnet",
    "VolumeId": "volume",
    "VpcId": "vpc",
}
# What an action makes.
_MAKES = {
    "AllocateAddress": ("elastic-ip",),
    "CreateImage": ("image", "snapshot"),
    "CreateInternetGateway": ("internet-gateway",),
    "CreateLaunchTemplate": ("launch-template",),
    "CreateRouteTable": ("route-table",),
    "CreateSecurityGroup": ("security-group",),
    "CreateSubnet": ("subnet",),
    "CreateVpc": ("vpc",),
    "ImportKeyPair": ("key-pair",),
    "RunInstances": ("instance", "network-interface", "volume"),
}
_PREFIXES = {
    "ami": "image",
    "eipalloc": "elastic-ip",
    "i": "instance",
    "igw": "internet-gateway",
    "key": "key-pair",
    "lt": "launch-template",
    "rtb": "route-table",
    "sg": "security-group",
    "snap": "snapshot",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
}
# S3's actions by method and subresource. https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
_S3_OF = {
    "accelerate": "AccelerateConfiguration",
    "acl": "BucketAcl",
    "encryption": "EncryptionConfiguration",
    "inventory": "InventoryConfiguration",
    "lifecycle": "LifecycleConfiguration",
    "location": "BucketLocation",
    "notification": "BucketNotification",
    "object-lock": "BucketObjectLockConfiguration",
    "ownershipControls": "BucketOwnershipControls",
    "policy": "BucketPolicy",
    "publicAccessBlock": "BucketPublicAccessBlock",
    "requestPayment": "BucketRequestPayment",
    "tagging": "BucketTagging",
    "versioning": "BucketVersioning",
}
_S3_PLAIN = {"GET": "ListBucket", "HEAD": "ListBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
_S3_OBJECT = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}


@dataclass(frozen=True)
class Ask:
    """What somebody wants to do to one thing."""

    action: str
    resource: str = "*"
    context: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A request that AWS got."""

    key: str
    service: str
    region: str
    method: str
    path: str
    query: str
    target: str
    body: bytes
    token: str = ""

    @property
    def form(self) -> dict[str, str]:
        """The body's fields."""
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))


def asks(request: Request) -> Iterator[Ask]:
    """Yield what a request has to be allowed, each resource by itself."""
    if of := _OF.get(request.service):
        yield from of(request)
    else:
        yield Ask(f"{request.service}:{request.target.rpartition('.')[2] or request.form['Action']}")


def _of_ec2(request: Request) -> Iterator[Ask]:
    form, region = request.form, request.region
    action = "ec2:" + form["Action"]
    if form["Action"].startswith("Describe"):
        yield Ask(action)
        return
    new = _MAKES.get(form["Action"], ())
    given = _request_tags(form)
    for kind in new:
        tags = _tags("aws:RequestTag", given.get(kind, {}))
        arn = _arn(region, kind, "*")
        yield Ask(action, arn, tags)
        if tags:
            yield Ask("ec2:CreateTags", arn, tags | {"ec2:CreateAction": form["Action"]})
    named = list(_named(form, new))
    assert new or named, f"this stand-in does not know what {form} is about"
    for kind, name in named:
        tags = _resource_tags(region, kind, name) | _tags("aws:RequestTag", given.get("", {}))
        yield Ask(action, _arn(region, kind, name), tags)
    if (
        profile := form.get("IamInstanceProfile.Name")
        or form.get("IamInstanceProfile.Arn", "").rpartition("/")[2]
    ):
        roles = iam_backends[DEFAULT_ACCOUNT_ID]["aws"].get_instance_profile(profile).roles
        for role in roles:
            yield Ask("iam:PassRole", role.arn, {"iam:PassedToService": "ec2.amazonaws.com"})


def _named(form: dict[str, str], new: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for parameter, value in form.items():
        # Of a launch with words for its network interface these name its subnet and its groups.
        word = re.sub(r"\.\d+$", "", parameter.removeprefix("NetworkInterface.1."))
        if word == "ResourceId":
            yield _PREFIXES[value.split("-")[0]], value
        elif word == "AssociationId":
            yield ("elastic-ip" if value.startswith("eipassoc") else "route-table"), value
        elif (kind := _NAMES.get(word)) and kind not in new:
            yield kind, value


def _arn(region: str, kind: str, name: str) -> str:
    account = "" if kind in ("image", "snapshot") else DEFAULT_ACCOUNT_ID
    return f"arn:aws:ec2:{region}:{account}:{kind}/{name}"


def _request_tags(form: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the tags that a request sets, by the kind that it makes; by "" for what is there."""
    found: dict[str, dict[str, str]] = {}
    for parameter, value in form.items():
        if tag := re.fullmatch(r"(?:TagSpecification\.(\d+)\.)?Tag\.(\d+)\.Key", parameter):
            prefix = parameter.removesuffix("Key")
            kind = form[f"TagSpecification.{tag[1]}.ResourceType"] if tag[1] else ""
            found.setdefault(kind, {})[value] = form.get(prefix + "Value", "")
    return found


def _resource_tags(region: str, kind: str, name: str) -> dict[str, str]:
    backend = ec2_backends[DEFAULT_ACCOUNT_ID][region]
    if kind == "key-pair" and name in backend.key_pairs:
        name = backend.key_pairs[name].id
    if name.startswith("rtbassoc-"):
        tables = backend.describe_route_tables()
        name = next(
            table.id
            for table in tables
            if name in {one["RouteTableAssociationId"] for one in table.associations}
        )
    if name.startswith("eipassoc-"):
        name = str(next(one.allocation_id for one in backend.addresses if one.association_id == name))
    tags = {tag["key"]: tag["value"] for tag in backend.describe_tags(filters={"resource-id": [name]})}
    return _tags("aws:ResourceTag", tags)


def _tags(word: str, tags: dict[str, str]) -> dict[str, str]:
    return {f"{word}/{key}": value for key, value in tags.items()}


def _of_iam(request: Request) -> Iterator[Ask]:
    form = request.form
    action = form["Action"]
    where = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}"
    profile, role = form.get("InstanceProfileName"), form.get("RoleName")
    about = f"{where}:instance-profile/{profile}" if profile else f"{where}:role/{role}" if role else "*"
    context = {"iam:PolicyARN": form["PolicyArn"]} if "PolicyArn" in form else {}
    yield Ask(f"iam:{action}", about, context)
    if any(name.startswith("Tags.member") for name in form) and action.startswith("Create"):
        yield Ask(f"iam:Tag{action.removeprefix('Create')}", about)
    if action == "AddRoleToInstanceProfile":
        yield Ask("iam:PassRole", f"{where}:role/{role}", {"iam:PassedToService": "ec2.amazonaws.com"})


def _of_parameters(request: Request) -> Iterator[Ask]:
    name = json.loads(request.body)["Name"]
    account = "" if name.startswith("/aws/") else DEFAULT_ACCOUNT_ID
    where = f"arn:aws:ssm:{request.region}:{account}:parameter{name}"
    yield Ask("ssm:" + request.target.rpartition(".")[2], where)


def _of_fleet(request: Request) -> Iterator[Ask]:
    for action, resource, context in aws_fleet.asks(request.service, request.region, request.body):
        yield Ask(action, resource, context)


def _of_alarms(request: Request) -> Iterator[Ask]:
    action, given = request.target.rpartition(".")[2], json.loads(request.body)
    where = f"arn:aws:cloudwatch:{request.region}:{DEFAULT_ACCOUNT_ID}:alarm:"
    for name in given.get("AlarmNames", [given.get("AlarmName", "*")]):
        yield Ask(f"cloudwatch:{action}", where + name)
        if given.get("Tags"):
            yield Ask("cloudwatch:TagResource", where + name)
    # https://aws.amazon.com/about-aws/whats-new/2017/12/amazon-cloudwatch-now-supports-service-linked-roles-for-ec2-actions-in-alarms/
    if any(":automate:" in one for one in given.get("AlarmActions", [])):
        service = "events.amazonaws.com"
        role = f"aws-service-role/{service}/AWSServiceRoleForCloudWatchEvents"
        where = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/{role}"
        yield Ask("iam:CreateServiceLinkedRole", where, {"iam:AWSServiceName": service})


def _of_secrets(request: Request) -> Iterator[Ask]:
    action, given = request.target.rpartition(".")[2], json.loads(request.body)
    # Six characters of Secrets Manager's own follow a name.
    name = given.get("SecretId") or given["Name"]
    where = f"arn:aws:secretsmanager:{request.region}:{DEFAULT_ACCOUNT_ID}:secret:{name}-a1B2c3"
    yield Ask(f"secretsmanager:{action}", where)
    if action == "CreateSecret" and given.get("Tags"):
        yield Ask("secretsmanager:TagResource", where)


def _of_queues(request: Request) -> Iterator[Ask]:
    action, given = request.target.rpartition(".")[2], json.loads(request.body)
    name = given.get("QueueName") or given.get("QueueUrl", "*").rpartition("/")[2]
    where = f"arn:aws:sqs:{request.region}:{DEFAULT_ACCOUNT_ID}:{name}"
    yield Ask(f"sqs:{action}", where)
    if action == "CreateQueue" and given.get("tags"):
        yield Ask("sqs:TagQueue", where)


def _of_topics(request: Request) -> Iterator[Ask]:
    form = request.form
    made = f"arn:aws:sns:{request.region}:{DEFAULT_ACCOUNT_ID}:{form.get('Name', '*')}"
    where = form.get("TopicArn") or form.get("ResourceArn") or made
    yield Ask(f"sns:{form['Action']}", where)
    if form["Action"] == "CreateTopic" and "Tags.member.1.Key" in form:
        yield Ask("sns:TagResource", where)


def _of_s3(request: Request) -> Iterator[Ask]:
    bucket, _, name = request.path.strip("/").partition("/")
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    where = f"arn:aws:s3:::{bucket}"
    if not bucket:
        yield Ask("s3:ListAllMyBuckets")
    elif name:
        version = "Version" if "versionId" in query else ""
        about = "Tagging" if "tagging" in query else ""
        yield Ask(f"s3:{_S3_OBJECT[request.method]}{version}{about}", f"{where}/{name}")
        # docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html : of what is not there it tells 404 to
        # who may list the bucket, and 403 to all others; the name counts as the prefix that is listed, as
        # Ceph found (github.com/ceph/ceph/pull/68577).
        if request.method in ("GET", "HEAD") and not query and not _is_there(bucket, name):
            yield Ask("s3:ListBucket", where, {"s3:prefix": name})
    elif "versions" in query:
        yield Ask("s3:ListBucketVersions", where)
    elif "delete" in query:
        for one in re.findall(r"<Object>(.*?)</Object>", request.body.decode(), re.S):
            found = re.search(r"<Key>(.*?)</Key>", one)
            assert found
            yield Ask(f"s3:DeleteObject{'Version' if '<VersionId>' in one else ''}", f"{where}/{found[1]}")
    elif known := _S3_OF.keys() & query.keys():
        for part in known:
            yield Ask(f"s3:{_verb(request.method, part)}{_S3_OF[part]}", where)
    else:
        yield Ask(f"s3:{_S3_PLAIN[request.method]}", where, {"s3:prefix": query.get("prefix", "")})


def _is_there(bucket: str, name: str) -> bool:
    found = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets.get(bucket)
    return found is None or name.encode("latin-1").decode() in found.keys


def _verb(method: str, part: str) -> str:
    if method == "DELETE":  # of all the rest deleting is putting nothing
        return "Delete" if part == "policy" else "Put"
    return method.capitalize()


_OF: dict[str, Callable[[Request], Iterator[Ask]]] = {
    **dict.fromkeys(aws_fleet.SERVICES, _of_fleet),
    "ec2": _of_ec2,
    "iam": _of_iam,
    "monitoring": _of_alarms,
    "s3": _of_s3,
    "secretsmanager": _of_secrets,
    "sns": _of_topics,
    "sqs": _of_queues,
    "ssm": _of_parameters,
}
