"""What the fleet's modules ask of what AWS tells."""

from typing import Any

# Of an instance refresh.
_OVER = {"Successful", "Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful"}


def holds(wanted: Any, found: Any) -> bool:
    """Tell whether what is found says all that is wanted; AWS answers with its defaults besides."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(holds(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(wanted) == len(found)
            and all(holds(one, other) for one, other in zip(wanted, found, strict=True))
        )
    return bool(wanted == found)


def version(policy: dict[str, Any]) -> str:
    """Return which version of its launch template a MixedInstancesPolicy names."""
    return str(policy["LaunchTemplate"]["LaunchTemplateSpecification"]["Version"])


def under_way(client: Any, group: str) -> dict[str, Any]:
    """Return the instance refresh of an Auto Scaling group that is under way; empty where there is none."""
    told = client.describe_instance_refreshes(AutoScalingGroupName=group, MaxRecords=1)["InstanceRefreshes"]
    found: dict[str, Any] = told[0] if told and told[0]["Status"] not in _OVER else {}
    return found
