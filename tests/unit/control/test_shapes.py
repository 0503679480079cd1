"""Requests checked, and answers written, by botocore's shapes and nothing else."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape

from springboard.control import shapes
from springboard.control.documents import Documents
from springboard.control.endpoints import Endpoints
from springboard.control.errors import ControlError, SerializationError
from springboard.control.store import Folder
from tests.unit.control.conftest import Plane
from tests.unit.control.hosts import IDENTITY
from tests.unit.control.test_documents import refused


def checked(operation: str, value: object) -> dict[str, Any]:
    model = shapes.operation(operation)
    assert model
    return shapes.checked(model.input_shape, value)


@pytest.mark.parametrize(
    ("operation", "asked", "text"),
    [
        (
            "DescribeModel",
            {},
            "1 validation error detected: Value null at 'modelName' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            "ListModels",
            {"MaxResults": 101, "SortBy": "Size"},
            "2 validation errors detected: Value 'Size' at 'sortBy' failed to satisfy constraint: "
            "Member must satisfy enum value set: [Name, CreationTime]; Value '101' at 'maxResults' failed to "
            "satisfy constraint: Member must have value less than or equal to 100",
        ),
        (
            "DescribeModel",
            {"ModelName": "a_b"},
            "1 validation error detected: Value 'a_b' at 'modelName' failed to satisfy constraint: Member "
            "must satisfy regular expression pattern: ",
        ),
        (
            "CreateEndpointConfig",
            {"EndpointConfigName": "c", "ProductionVariants": [{"VariantName": "a"}, {}]},
            "1 validation error detected: Value null at 'productionVariants.2.member.variantName' failed",
        ),
        (
            "CreateEndpointConfig",
            {"EndpointConfigName": "c", "ProductionVariants": []},
            "1 validation error detected: Value '[]' at 'productionVariants' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1",
        ),
        (
            "CreateEndpoint",
            {"EndpointName": "n" * 64, "EndpointConfigName": "c"},
            f"2 validation errors detected: Value '{'n' * 64}' at 'endpointName' failed to satisfy "
            "constraint: Member must have length less than or equal to 63",
        ),
    ],
)
def test_faults_are_told_as_aws_tells_them(operation: str, asked: dict[str, Any], text: str) -> None:
    with pytest.raises(ControlError) as error:
        checked(operation, asked)
    assert str(error.value).startswith(text)
    assert error.value.kind == "ValidationException"


@pytest.mark.parametrize(
    "asked",
    [
        [],
        {"MaxResults": "10"},
        {"MaxResults": True},
        {"MaxResults": 2**31},
        {"MaxResults": 1.5},
        {"NameContains": 3},
        {"NameContains": "\ud800"},
        {"CreationTimeAfter": "2026-01-01"},
        {"CreationTimeAfter": 1e300},
        {"SortBy": {}},
    ],
)
def test_values_of_other_types_are_serialization_errors(asked: object) -> None:
    with pytest.raises(SerializationError):
        checked("ListModels", asked)


def test_what_is_unknown_or_null_is_left_out() -> None:
    assert checked("ListModels", {"MaxResults": 10.0, "NextToken": None, "New": {"a": 1}}) == {
        "MaxResults": 10
    }


def test_answers_leave_out_what_is_not_set() -> None:
    model = shapes.operation("DescribeEndpoint")
    assert model
    said = {
        "EndpointName": "e",
        "FailureReason": None,
        "LastDeploymentConfig": {"BlueGreenUpdatePolicy": None},
        "ProductionVariants": [{"VariantName": "a", "VariantStatus": None}],
        "ShadowProductionVariants": [],
    }
    assert shapes.written(model.output_shape, said) == {
        "EndpointName": "e",
        "ProductionVariants": [{"VariantName": "a"}],
        "ShadowProductionVariants": [],
    }
    with pytest.raises(KeyError, match="Endpoint_Name"):
        shapes.written(model.output_shape, {"Endpoint_Name": "e"})


def _patterns(shape: Shape, seen: set[str]) -> set[str]:
    if shape.name in seen:
        return set()
    seen.add(shape.name)
    below: list[Shape] = []
    if isinstance(shape, StructureShape):
        below = list(shape.members.values())
    elif isinstance(shape, ListShape):
        below = [shape.member]
    elif isinstance(shape, MapShape):
        below = [shape.key, shape.value]
    own = {str(shape.metadata["pattern"])} if "pattern" in shape.metadata else set()
    return own.union(*(_patterns(one, seen) for one in below))


def test_every_pattern_and_type_of_our_operations_can_be_checked(plane: Plane) -> None:
    documents = Documents(Folder(plane.store._folder), IDENTITY)
    for name in documents.operations | Endpoints(documents).operations:
        model = shapes.operation(name)
        assert model is not None
        assert model.input_shape is not None
        for pattern in _patterns(model.input_shape, set()):
            shapes.compiled(pattern)
    assert shapes.compiled(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)").fullmatch("Größe 中 1")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "SerializationException"),
        (b"[" * 100_000, "SerializationException"),
        (b'{"MaxResults": NaN}', "SerializationException"),
        (b'{"MaxResults": ' + b"9" * 5000 + b"}", "SerializationException"),
        (b"\xff", "SerializationException"),
        (b" " * 1_000_001, "RequestEntityTooLargeException"),
    ],
)
def test_bodies_that_are_no_request_are_the_callers_fault(plane: Plane, body: bytes, kind: str) -> None:
    client = plane.client()

    client.meta.events.register("before-sign", lambda request, **_: setattr(request, "data", body))
    with pytest.raises(ClientError) as error:
        client.list_models()
    assert refused(error)[0] == kind


def test_an_operation_that_is_nobodys_is_unknown(plane: Plane) -> None:
    client = plane.client()
    client.meta.events.register(
        "before-sign", lambda request, **_: request.headers.replace_header("X-Amz-Target", "SageMaker.Dance")
    )
    with pytest.raises(ClientError) as error:
        client.list_models()
    assert refused(error) == ("UnknownOperationException", "SageMaker has no operation 'Dance'.")
