"""Requests made by botocore's shapes at random, half right: answers or the caller's errors, never a fault."""

import random
from pathlib import Path
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape

from springboard.control import shapes
from springboard.control.documents import Documents
from springboard.control.endpoints import Endpoints
from springboard.control.errors import ControlError
from springboard.control.store import Folder
from springboard.control.transforms import Transforms, ended
from tests.unit.control.hosts import IDENTITY

KINDS = (
    *(("model", "Model"), ("endpoint-config", "EndpointConfig"), ("endpoint", "Endpoint")),
    ("transform-job", "TransformJob"),
)
NAMES = ["a", "b", "AllTraffic", "canary"]
STRINGS = [
    *NAMES,
    "",
    "s3://models/x.tar.gz",
    "arn:aws:sagemaker:eu-west-1:123456789012:model/a",
    "ü" * 70,
    "x\n",
]
NUMBERS: list[Any] = [0, 1, 2, 10, 0.5, -1, 101, 2**40, "1", True]


def made(shape: Shape, chance: random.Random) -> Any:
    """Return a value that may be of this shape."""
    if chance.random() < 0.01:
        return chance.choice([None, [], {}, "x", 7])
    if isinstance(shape, StructureShape):
        wanted = [name for name in shape.members if name in shape.required_members or chance.random() < 0.25]
        return {name: made(shape.members[name], chance) for name in wanted}
    if isinstance(shape, ListShape):
        return [made(shape.member, chance) for _ in range(chance.choice([0, 1, 1, 1, 2]))]
    if isinstance(shape, MapShape):
        return {chance.choice(STRINGS): made(shape.value, chance)}
    if shape.type_name == "boolean":
        return chance.random() < 0.5
    if shape.type_name != "string":
        return chance.choice(NUMBERS)
    if enum := shape.metadata.get("enum"):
        return chance.choice(enum)
    return chance.choice(NAMES if shape.name.endswith("Name") else STRINGS)


def agent(store: Folder, chance: random.Random) -> None:
    """Do with endpoints and jobs what the agents do with their documents."""
    for one in store.every("endpoint"):
        if one["status"] == "Deleting":
            found = store.read("endpoint", one["name"])
            assert found is not None
            store.remove("endpoint", one["name"], found[1])
        elif one["status"] != "Failed":
            half_way = {
                "stage": "canary at 20 %",
                "share": 20,
                "status": chance.choice(["Updating", "RollingBack"]),
            }
            failed = {"status": "Failed", "failure": "why"}
            done = {
                "status": "InService",
                "serving": one["wanted"],
                "last_deployment": one["wanted"]["deployment"],
            }
            changes = [done, half_way if one["serving"] else failed]
            changed = one | chance.choice(changes)
            found = store.read("endpoint", one["name"])
            assert found is not None
            store.write("endpoint", one["name"], changed, found[1])
    for one in store.every("transform-job"):
        begun = {**one, "started": one["created"]}
        changed = chance.choice([begun, ended(begun, "Failed", "why"), ended(begun, "Completed")])
        found = store.read("transform-job", one["name"])
        assert found is not None
        store.write("transform-job", one["name"], changed, found[1])


@pytest.mark.parametrize("seed", range(6))
def test_no_request_is_a_fault_and_describe_tells_every_state(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    store = Folder(tmp_path)
    documents = Documents(store, IDENTITY)
    operations = documents.operations | Endpoints(documents).operations
    operations |= Transforms(documents, lambda: {"models"}).operations
    operations["CreateModel"]({"ModelName": "a", "PrimaryContainer": {"ModelDataUrl": "s3://m/x.tar.gz"}})
    answered = 0
    for _ in range(400):
        name = chance.choice(list(operations))
        model = shapes.operation(name)
        assert model is not None
        assert model.input_shape is not None
        try:
            asked = shapes.checked(model.input_shape, made(model.input_shape, chance))
            shapes.written(model.output_shape, operations[name](asked))
        except ControlError:
            pass
        else:
            answered += 1
        if chance.random() < 0.3:
            agent(store, chance)
        for kind, of in KINDS:
            for one in store.every(kind):
                told = operations[f"Describe{of}"]({f"{of}Name": one["name"]})
                described = shapes.operation(f"Describe{of}")
                assert described is not None
                assert shapes.written(described.output_shape, told)[f"{of}Name"] == one["name"]
    assert answered > 20
