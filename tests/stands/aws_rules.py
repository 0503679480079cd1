"""What AWS refuses of a request's words and moto takes: patterns and bounds.

botocore's models carry the API's own for IAM, STS, SSM and Service Quotas, which no client checks. EC2's and
S3's are prose of their API references; `TABLE` has those of every call that the playbooks make, each with its
source.
"""

import functools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import botocore.session
from botocore.model import ListShape, Shape, StructureShape
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

_EC2 = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_"
_TAGS = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions"


@dataclass(frozen=True)
class Rule:
    """A parameter, as it stands in the request, whose value has to match; `says` is AWS's own word."""

    action: str
    parameter: str
    pattern: str
    source: str
    says: str = ""


TABLE = (
    Rule(
        "CreateSecurityGroup",
        "GroupDescription",
        r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}",
        _EC2 + "CreateSecurityGroup.html",
        "Invalid security group description. Valid descriptions are strings less than 256 characters from "
        "the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
    ),
    Rule(
        "CreateSecurityGroup",
        "GroupName",
        r"(?!sg-)[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}",
        _EC2 + "CreateSecurityGroup.html",
    ),
    Rule(
        "(Authorize|Revoke)SecurityGroup(In|E)gress",
        r"IpPermissions\.\d+\.(IpRanges|Ipv6Ranges|Groups|PrefixListIds)\.\d+\.Description",
        r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{0,255}",
        _EC2 + "IpRange.html",
    ),
    Rule("ImportKeyPair|CreateKeyPair", "KeyName", r"[\x20-\x7e]{1,255}", _EC2 + "ImportKeyPair.html"),
    Rule(
        "RunInstances",
        r"BlockDeviceMapping\.\d+\.Ebs\.VolumeSize",
        r"[1-9]\d{0,3}|1[0-5]\d{3}|16[0-2]\d{2}|163[0-7]\d|1638[0-4]",
        _EC2 + "EbsBlockDevice.html (gp2 and gp3: 1 - 16,384)",
    ),
    Rule(
        "RunInstances|ModifyInstanceMetadataOptions",
        r"(MetadataOptions\.)?HttpPutResponseHopLimit",
        r"[1-9]|[1-5]\d|6[0-4]",
        _EC2 + "InstanceMetadataOptionsRequest.html (1 to 64)",
    ),
    Rule("CreateImage", "Name", r"[a-zA-Z0-9()\[\] ./\-'@_]{3,128}", _EC2 + "CreateImage.html"),
    Rule("RunInstances", "ClientToken", r"[\x21-\x7e]{1,64}", _EC2 + "RunInstances.html"),
    Rule(
        "Create(Vpc|Subnet)",
        "CidrBlock",
        r"[\d.]+/(1[6-9]|2[0-8])",
        _EC2 + "CreateVpc.html",
    ),
    Rule(".*", r"(TagSpecification\.\d+\.)?Tag\.\d+\.Key", r"(?!(?i:aws:))(?s:.){1,128}", _TAGS),
    Rule(".*", r"(TagSpecification\.\d+\.)?Tag\.\d+\.Value", r"(?s:.){0,256}", _TAGS),
)
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BUCKET = (
    r"(?!xn--|sthree-|amzn-s3-demo-|\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)(?!.*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$)"
    r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
)
# Whose models tell: what the signature's scope calls them, and botocore.
_MODELLED = {
    "iam": "iam",
    "sts": "sts",
    "ssm": "ssm",
    "servicequotas": "service-quotas",
    "secretsmanager": "secretsmanager",
    "elasticloadbalancing": "elbv2",
    "acm": "acm",
}


@dataclass(frozen=True)
class Fault:
    """A parameter that AWS would not take."""

    service: str
    parameter: str
    says: str
    code: str = ""
    more: tuple[tuple[str, str], ...] = ()

    @property
    def answer(self) -> tuple[str, bytes]:
        """Return the content type and the body of the refusal (400), as the service writes them."""
        if self.service in ("ssm", "servicequotas", "secretsmanager"):
            said = {"__type": "ValidationException", "message": self.says}
            return "application/x-amz-json-1.1", json.dumps(said).encode()
        if self.service == "sqs":
            return "application/x-amz-json-1.0", json.dumps(
                {"__type": f"com.amazonaws.sqs#{self.code}", "message": self.says}
            ).encode()
        words = self.says.replace("&", "&amp;").replace("<", "&lt;")
        codes = {"ec2": "InvalidParameterValue", "s3": "InvalidBucketName"}
        code = self.code or codes.get(self.service, "ValidationError")
        more = "".join(f"<{name}>{value}</{name}>" for name, value in self.more)
        error = f"<Error><Code>{code}</Code><Message>{words}</Message>{more}</Error>"
        if self.service == "s3":
            return "application/xml", error.encode()
        if self.service == "ec2":
            return "text/xml", f"<Response><Errors>{error}</Errors></Response>".encode()
        return "text/xml", f"<ErrorResponse>{error}</ErrorResponse>".encode()


def find(service: str, method: str, path: str, target: str, body: bytes) -> Fault | None:
    """Return what AWS would refuse of a request; None where nothing is known against it.

    `service` is that of the signature's scope, `target` the header X-Amz-Target.
    """
    if service == "s3":
        bucket = path.strip("/")
        odd = method == "PUT" and bucket and "/" not in bucket and not re.fullmatch(BUCKET, bucket)
        return Fault(service, "Bucket", "The specified bucket is not valid.") if odd else None
    if service == "ec2":
        return _of_table(dict(parse_qsl(body.decode(), keep_blank_values=True)))
    if service not in _MODELLED:
        return None
    if target:
        return _modelled(service, target.rpartition(".")[2], _leaves(json.loads(body or b"{}")))
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    leaves = ((tuple(key.replace(".member.", ".").split(".")), value) for key, value in form.items())
    return _modelled(service, form.get("Action", ""), leaves)


def acl(path: str, wanted: str) -> Fault | None:
    """Return the refusal of an object's ACL by a bucket whose owner owns all that is in it.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
    """
    bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets.get(path.strip("/").split("/")[0])
    rule = str(bucket.ownership_rule) if bucket else ""  # moto keeps the word, whatever its type says
    if rule != "BucketOwnerEnforced" or wanted == "bucket-owner-full-control":
        return None
    return Fault("s3", "x-amz-acl", "The bucket does not allow ACLs", "AccessControlListNotSupported")


def _of_table(form: dict[str, str]) -> Fault | None:
    for rule in TABLE:
        if not re.fullmatch(rule.action, form.get("Action", "")):
            continue
        for parameter, value in form.items():
            if re.fullmatch(rule.parameter, parameter) and not re.fullmatch(rule.pattern, value):
                said = rule.says or f"Value ({value}) for parameter {parameter} is invalid. See {rule.source}"
                return Fault("ec2", parameter, said)
    return None


def _modelled(service: str, action: str, leaves: Iterable[tuple[tuple[str, ...], str]]) -> Fault | None:
    model = _model(_MODELLED[service])
    if action not in model.operation_names:
        return None
    whole = model.operation_model(action).input_shape
    for path, value in leaves:
        shape = _at(whole, path)
        if shape is None or shape.type_name not in ("string", "integer"):
            continue
        limits = shape.metadata
        if shape.type_name == "integer":
            if not limits.get("min", int(value)) <= int(value) <= limits.get("max", int(value)):
                return Fault(service, ".".join(path), f"Value {value} at {'.'.join(path)} is not in {limits}")
            continue
        pattern = limits.get("pattern")
        bounds = limits.get("min", 0) <= len(value) <= limits.get("max", len(value))
        if bounds and (not pattern or re.fullmatch(_pythonic(pattern), value)):
            continue
        constraint = f"satisfy regular expression pattern: {pattern}" if bounds else f"have length {limits}"
        return Fault(
            service,
            ".".join(path),
            f"1 validation error detected: Value at '{path[0][:1].lower() + path[0][1:]}' failed to satisfy "
            f"constraint: Member must {constraint}",
        )
    return None


@functools.cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def _leaves(found: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(found, str):
        yield path, found
    elif isinstance(found, dict | list):
        pairs = found.items() if isinstance(found, dict) else enumerate(found, 1)
        for key, value in pairs:
            yield from _leaves(value, (*path, str(key)))


def _at(shape: Shape | None, path: tuple[str, ...]) -> Shape | None:
    for step in path:
        if isinstance(shape, StructureShape):
            shape = shape.members.get(step)
        elif isinstance(shape, ListShape):
            shape = shape.member
        else:
            return None
    return shape


def _pythonic(pattern: str) -> str:
    """Return a pattern of Java's as Python writes it: letters, numbers and separators of any script."""
    spaces = r"\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000 "
    return pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", r"\d").replace(r"\p{Z}", spaces)
