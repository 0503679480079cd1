"""What moto forgets of a fleet: of Auto Scaling groups, load balancers and launch templates.

Added to moto: what a group is told of capacity rebalancing and warm-up, its policy when an update leaves it
out, its policies' end with it; a load balancer's default attributes; DeleteLaunchTemplateVersions; a security
group that others name cannot be deleted. `asks` is for `aws_asks`; `fault` has bounds that are prose of the
API references.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from moto.autoscaling.models import AutoScalingBackend
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.elbv2.models import FakeLoadBalancer, elbv2_backends
from moto.iam.models import iam_backends

SERVICES = {"acm", "autoscaling", "elasticloadbalancing"}
_Asked = tuple[str, str, dict[str, str]]

_ELB = "https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_"
# Attributes' bounds: _ELB + TargetGroupAttribute.html and LoadBalancerAttribute.html
_BOUNDS = {
    "deregistration_delay.timeout_seconds": range(3601),
    "slow_start.duration_seconds": {0, *range(30, 901)},
    "idle_timeout.timeout_seconds": range(1, 4001),
}
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstancesDistribution.html
_PERCENT = "MixedInstancesPolicy.InstancesDistribution.OnDemandPercentageAboveBaseCapacity"


def asks(service: str, region: str, body: bytes) -> Iterator[_Asked]:
    """Yield what a request has to be allowed: action, resource, context.

    From list_awselasticloadbalancingv2.html and list_amazonec2autoscaling.html, as in `aws_asks`.
    """
    if service == "acm":
        yield "acm:DescribeCertificate", json.loads(body)["CertificateArn"], {}
        return
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    yield from (_of_group if service == "autoscaling" else _of_balancer)(region, form)


def _of_balancer(region: str, form: dict[str, str]) -> Iterator[_Asked]:
    action = f"elasticloadbalancing:{form['Action']}"
    if form["Action"].startswith("Describe"):
        yield action, "*", {}
        return
    where = f"arn:aws:elasticloadbalancing:{region}:{DEFAULT_ACCOUNT_ID}:"
    made = {"CreateLoadBalancer": "loadbalancer/app", "CreateTargetGroup": "targetgroup"}.get(form["Action"])
    named = [form[key] for key in ("LoadBalancerArn", "TargetGroupArn", "ListenerArn") if key in form]
    named += [value for key, value in form.items() if re.fullmatch(r"ResourceArns\.member\.\d+", key)]
    for one in [f"{where}{made}/{form['Name']}/0123456789abcdef"] if made else named:
        yield action, one, {}
        if made and "Tags.member.1.Key" in form:
            yield "elasticloadbalancing:AddTags", one, {"elasticloadbalancing:CreateAction": form["Action"]}
    if form["Action"] == "CreateLoadBalancer":
        yield _service_linked("elasticloadbalancing.amazonaws.com", "AWSServiceRoleForElasticLoadBalancing")


def _of_group(region: str, form: dict[str, str]) -> Iterator[_Asked]:
    action = f"autoscaling:{form['Action']}"
    if form["Action"].startswith("Describe"):
        yield action, "*", {}
        return
    name = form.get("AutoScalingGroupName") or form["Tags.member.1.ResourceId"]
    group = (
        f"arn:aws:autoscaling:{region}:{DEFAULT_ACCOUNT_ID}:autoScalingGroup:0-1:autoScalingGroupName/{name}"
    )
    yield action, group, {}
    if form["Action"] == "CreateAutoScalingGroup":
        if "Tags.member.1.Key" in form:
            yield "autoscaling:CreateOrUpdateTags", group, {}
        yield _service_linked("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling")
    named = "MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.LaunchTemplateName"
    template = form.get(named) or form.get(f"DesiredConfiguration.{named}")
    if template:
        subnets = form.get("VPCZoneIdentifier", "").split(",")
        yield from _of_launches(region, template, [one for one in subnets if one])


def _of_launches(region: str, template: str, subnets: list[str]) -> Iterator[_Asked]:
    """Yield what RunInstances by this template needs, which is asked of who makes or changes the group.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html
    """
    backend = ec2_backends[DEFAULT_ACCOUNT_ID][region]
    found = backend.get_launch_template_by_name(template)
    data = found.default_version().data
    where = f"arn:aws:ec2:{region}:{DEFAULT_ACCOUNT_ID}:"
    given = {one["ResourceType"]: one["Tags"] for one in data["TagSpecifications"]}
    for kind in ("instance", "volume", "network-interface"):
        context = {f"aws:RequestTag/{one['Key']}": one["Value"] for one in given.get(kind, [])}
        yield "ec2:RunInstances", f"{where}{kind}/*", context
        if context:
            yield "ec2:CreateTags", f"{where}{kind}/*", context | {"ec2:CreateAction": "RunInstances"}
    key = backend.key_pairs[data["KeyName"]]
    groups = [one for interface in data["NetworkInterfaces"] for one in interface["Groups"]]
    used = [
        ("launch-template", found.id, found.id),
        ("key-pair", key.key_name, key.id),
    ]
    used += [("subnet", one, one) for one in subnets] + [("security-group", one, one) for one in groups]
    for kind, name, tagged in used:
        tags = backend.describe_tags(filters={"resource-id": [tagged]})
        context = {f"aws:ResourceTag/{one['key']}": one["value"] for one in tags}
        yield "ec2:RunInstances", f"{where}{kind}/{name}", context
    yield "ec2:RunInstances", f"arn:aws:ec2:{region}::image/{data['ImageId']}", {}
    profile = data["IamInstanceProfile"]["Arn"].rpartition("/")[2]
    for role in iam_backends[DEFAULT_ACCOUNT_ID]["aws"].get_instance_profile(profile).roles:
        yield "iam:PassRole", role.arn, {"iam:PassedToService": "ec2.amazonaws.com"}


def _service_linked(service: str, role: str) -> _Asked:
    where = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/aws-service-role/{service}/{role}"
    return "iam:CreateServiceLinkedRole", where, {"iam:AWSServiceName": service}


def fault(service: str, body: bytes) -> tuple[str, str] | None:
    """Return the parameter that AWS would refuse, and its words; None where nothing is known against it."""
    if service not in SERVICES - {"acm"}:
        return None
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    given = {
        form[key]: form.get(key.removesuffix("Key") + "Value", "")
        for key in form
        if re.fullmatch(r"Attributes\.member\.\d+\.Key", key)
    }
    for key, allowed in _BOUNDS.items():
        if key in given and int(given[key]) not in allowed:
            return key, f"'{key}' value '{given[key]}' is not in its range"
    if int(given.get("slow_start.duration_seconds", 0)) and "least" in given.get(
        "load_balancing.algorithm.type", ""
    ):
        return "slow_start", "Slow start mode and least outstanding requests cannot be combined"
    if "MinSize" in form and "MaxSize" in form and int(form["MinSize"]) > int(form["MaxSize"]):
        return "MinSize", "Max bound must be greater than or equal to min bound"
    if int(form.get(_PERCENT, 0)) not in range(101):
        return _PERCENT, "must be between 0 and 100"
    return None


def _remembered(call: Callable[[AutoScalingResponse], Any]) -> Callable[[AutoScalingResponse], Any]:
    def respond(response: AutoScalingResponse) -> Any:
        groups = response.autoscaling_backend.autoscaling_groups
        name = response._get_param("AutoScalingGroupName")
        policy = groups[name].mixed_instances_policy if name in groups else None
        answer = call(response)
        group: Any = groups[name]
        group.mixed_instances_policy = group.mixed_instances_policy or policy
        for word, attribute in (
            ("CapacityRebalance", "capacity_rebalance"),
            ("DefaultInstanceWarmup", "default_instance_warmup"),
        ):
            value = response._get_param(word)
            if value is not None:
                setattr(
                    group, attribute, value in (True, "true") if word == "CapacityRebalance" else int(value)
                )
        return answer

    return respond


def _with_all_of_it(delete: Callable[..., Any]) -> Callable[..., Any]:
    def delete_auto_scaling_group(backend: AutoScalingBackend, group_name: str) -> Any:
        answer = delete(backend, group_name)
        for kept in (backend.policies, backend.scheduled_actions):
            for name in [name for name, one in kept.items() if one.auto_scaling_group_name == group_name]:
                del kept[name]
        return answer

    return delete_auto_scaling_group


def _with_defaults(make: Callable[..., None]) -> Callable[..., None]:
    """Its defaults: _ELB + LoadBalancerAttribute.html ."""

    def init(balancer: FakeLoadBalancer, *arguments: Any, **options: Any) -> None:
        make(balancer, *arguments, **options)
        balancer.attrs |= {
            "access_logs.s3.enabled": "false",
            "idle_timeout.timeout_seconds": "60",
            "routing.http.drop_invalid_header_fields.enabled": "false",
        }

    return init


def _without_its_own(create: Callable[..., Any]) -> Callable[..., Any]:
    """A template's own tags are not among those of what it launches."""

    def create_launch_template(
        backend: EC2Backend, name: str, description: str, data: dict[str, Any], tag_spec: Any
    ) -> Any:
        data["TagSpecifications"] = [
            one for one in data.get("TagSpecifications", []) if one["ResourceType"] != "launch-template"
        ]
        return create(backend, name, description, data, tag_spec)

    return create_launch_template


def _delete_versions(response: LaunchTemplates) -> ActionResult:
    """Tell that they are gone, which the template's own end then makes true; its default cannot go before."""
    template = response.ec2_backend.get_launch_template(response._get_param("LaunchTemplateId"))
    numbers = [int(one) for one in response._get_param("Versions", [])]
    assert template.default_version_number not in numbers, numbers
    gone = [{"LaunchTemplateId": template.id, "VersionNumber": one} for one in numbers]
    return ActionResult(
        {
            "SuccessfullyDeletedLaunchTemplateVersions": gone,
            "UnsuccessfullyDeletedLaunchTemplateVersions": [],
        }
    )


def _unless_named(delete: Callable[..., Any]) -> Callable[..., Any]:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSecurityGroup.html ."""

    def delete_security_group(
        backend: EC2Backend, name: str | None = None, group_id: str | None = None
    ) -> Any:
        named = {
            rule.source_group.get("GroupId")
            for groups in backend.groups.values()
            for group in groups.values()
            for rule in group.ingress_rules
            if group.id != group_id and rule.source_group
        }
        balancers = elbv2_backends[DEFAULT_ACCOUNT_ID][backend.region_name].load_balancers.values()
        if group_id in named | {one for balancer in balancers for one in balancer.security_groups}:
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
        return delete(backend, name, group_id)

    return delete_security_group


def install() -> None:
    """Have moto do it."""
    for name in ("create_auto_scaling_group", "update_auto_scaling_group"):
        setattr(AutoScalingResponse, name, _remembered(getattr(AutoScalingResponse, name)))
    delete = _with_all_of_it(AutoScalingBackend.delete_auto_scaling_group)
    setattr(AutoScalingBackend, "delete_auto_scaling_group", delete)  # noqa: B010 - as in aws.py
    setattr(FakeLoadBalancer, "__init__", _with_defaults(FakeLoadBalancer.__init__))  # noqa: B010
    setattr(  # noqa: B010
        EC2Backend, "create_launch_template", _without_its_own(EC2Backend.create_launch_template)
    )
    setattr(LaunchTemplates, "delete_launch_template_versions", _delete_versions)  # noqa: B010
    setattr(EC2Backend, "delete_security_group", _unless_named(EC2Backend.delete_security_group))  # noqa: B010
