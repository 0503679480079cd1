"""What moto lacks of images that are made of instances.

Added to moto: an image has a snapshot for each of its instance's volumes, as large and as encrypted as that,
and tags for images and for snapshots go to these; names are an account's once.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html
"""

from collections.abc import Callable
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.amis import Ami
from moto.ec2.models.elastic_block_store import Snapshot


class _DuplicateName(EC2ClientError):
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html ."""

    def __init__(self, name: str, image: str) -> None:
        super().__init__("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image}")


def _of_volumes(create: Callable[..., Ami]) -> Callable[..., Ami]:
    def create_image(
        backend: EC2Backend,
        instance_id: str,
        name: str,
        description: str,
        tag_specifications: list[dict[str, Any]],
    ) -> Ami:
        for there in backend.amis.values():
            if there.name == name:
                raise _DuplicateName(name, there.id)
        tags = {one["ResourceType"]: one["Tags"] for one in tag_specifications}
        of_image = [{"ResourceType": "image", "Tags": tags["image"]}] if "image" in tags else []
        image = create(backend, instance_id, name, description, of_image)
        del backend.snapshots[image.ebs_snapshot.id]
        image.root_device_name = backend.get_instance(instance_id).root_device_name
        disks: dict[str, Snapshot] = {}
        for device, mapping in backend.get_instance(instance_id).block_device_mapping.items():
            told = f"Created by CreateImage({instance_id}) for {image.id}"
            disks[device] = backend.create_snapshot(mapping.volume_id, told, from_ami=image.id)
            disks[device].add_tags({tag["Key"]: tag["Value"] for tag in tags.get("snapshot", [])})
        setattr(image, "disks", disks)  # noqa: B010 - moto's class has no such thing
        return image

    return create_image


def _mappings(own: property) -> property:
    def block_device_mappings(image: Ami) -> Any:
        disks: dict[str, Snapshot] | None = getattr(image, "disks", None)
        if disks is None:
            return own.__get__(image)
        return [
            {
                "DeviceName": device,
                "Ebs": {
                    "SnapshotId": disk.id,
                    "VolumeSize": int(disk.volume_size),
                    "VolumeType": "gp3",
                    "DeleteOnTermination": True,
                    "Encrypted": disk.encrypted,
                },
            }
            for device, disk in disks.items()
        ]

    return property(block_device_mappings)


def install() -> None:
    """Have moto do it."""
    setattr(EC2Backend, "create_image", _of_volumes(EC2Backend.create_image))  # noqa: B010 - as in aws.py
    mappings: Any = vars(Ami)["block_device_mappings"]
    setattr(Ami, "block_device_mappings", _mappings(mappings))  # noqa: B010
