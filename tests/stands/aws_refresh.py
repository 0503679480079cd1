"""Instance refreshes of Auto Scaling groups, which moto lacks, and which launch template a host came up by.

One goes on until a test says how it ends: `GET /standin/refreshed?Successful=reef-fleet` (or Failed, or
RollbackSuccessful). Sources: API_StartInstanceRefresh.html and API_RefreshPreferences.html of
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/, and
https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-rollback.html .
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import InstanceState, autoscaling_backends
from moto.autoscaling.responses import AutoScalingResponse
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult

_refreshes: dict[str, list[dict[str, Any]]] = {}
_UNDER_WAY = {"Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress"}


class _InProgress(AutoscalingClientError):
    code = "InstanceRefreshInProgress"
    message = "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."


def tell(path: str, query: str) -> bool:
    """Take how a group's refresh ends; False where the path is not for here."""
    if path != "/standin/refreshed":
        return False
    for status, name in parse_qsl(query):
        one = _refreshes[name][0]
        assert one["Status"] in _UNDER_WAY, one
        one |= {"Status": status, "PercentageComplete": 100}
        if status == "Successful":
            _bring(name, one["DesiredConfiguration"]["MixedInstancesPolicy"])
    return True


def _bring(name: str, policy: dict[str, Any]) -> None:
    """Have the group and all its hosts be as the refresh wanted them."""
    for backend in autoscaling_backends[DEFAULT_ACCOUNT_ID].values():
        if name in backend.autoscaling_groups:
            group: Any = backend.autoscaling_groups[name]
            group.mixed_instances_policy = policy
            for state in group.instance_states:
                state.launched = _version(policy)


def _version(policy: dict[str, Any] | None) -> str:
    named = (policy or {}).get("LaunchTemplate", {}).get("LaunchTemplateSpecification", {})
    return str(named.get("Version", ""))


def _start(response: AutoScalingResponse) -> ActionResult:
    asked = response._get_params()
    name, wants = asked["AutoScalingGroupName"], asked.get("Preferences", {})
    policy = asked.get("DesiredConfiguration", {}).get("MixedInstancesPolicy")
    group = response.autoscaling_backend.autoscaling_groups[name]
    before: list[dict[str, Any]] = _refreshes.setdefault(name, [])
    if before and before[0]["Status"] in _UNDER_WAY:
        raise _InProgress
    points = [int(one) for one in wants.get("CheckpointPercentages", [])]
    if points != sorted(set(points)) or (points and points[-1] > 100):
        raise ValidationError("CheckpointPercentages must be unique and in ascending order.")
    least, most = (int(wants.get(f"{one}HealthyPercentage", 100)) for one in ("Min", "Max"))
    if most - least > 100:
        raise ValidationError("MaxHealthyPercentage may be at most 100 more than MinHealthyPercentage.")
    if str(wants.get("AutoRollback")).lower() == "true":
        numbered = _version(policy).isdigit() and _version(group.mixed_instances_policy).isdigit()
        if not numbered:
            raise ValidationError("AutoRollback needs a desired configuration and numbered versions.")
    alarms = wants.get("AlarmSpecification", {}).get("Alarms", [])
    known = cloudwatch_backends[DEFAULT_ACCOUNT_ID][response.region].alarms
    if missing := [one for one in alarms if one not in known]:
        raise ValidationError(f"There are no CloudWatch alarms {missing}")
    one = {
        "InstanceRefreshId": f"0000000{len(before)}-0000-0000-0000-000000000000",
        "AutoScalingGroupName": name,
        "Status": "InProgress",
        "PercentageComplete": 0,
        "DesiredConfiguration": asked.get("DesiredConfiguration", {}),
        "Preferences": wants,
    }
    before.insert(0, one)
    return ActionResult({"InstanceRefreshId": one["InstanceRefreshId"]})


def _describe(response: AutoScalingResponse) -> ActionResult:
    found = _refreshes.get(response._get_param("AutoScalingGroupName"), [])
    return ActionResult({"InstanceRefreshes": found[: response._get_int_param("MaxRecords") or 50]})


def _remembering(make: Callable[..., None]) -> Callable[..., None]:
    def init(state: Any, *arguments: Any, **options: Any) -> None:
        make(state, *arguments, **options)
        state.launched = _version(getattr(state.auto_scaling_group, "mixed_instances_policy", None))

    return init


def _launched_by(state: Any) -> dict[str, Any] | None:
    template = state.auto_scaling_group.ec2_launch_template
    if template is None:
        return None
    version = state.launched if state.launched.isdigit() else str(template.default_version_number)
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": version}


def install() -> None:
    """Have moto do it."""
    setattr(AutoScalingResponse, "start_instance_refresh", _start)  # noqa: B010 - as in aws.py
    setattr(AutoScalingResponse, "describe_instance_refreshes", _describe)  # noqa: B010
    setattr(InstanceState, "__init__", _remembering(InstanceState.__init__))  # noqa: B010
    setattr(InstanceState, "launch_template", property(_launched_by))  # noqa: B010
