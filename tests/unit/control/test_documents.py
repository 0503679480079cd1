"""Models, endpoint configurations, tags and lists, by boto3 as it is."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from springboard.control.documents import Documents
from springboard.control.endpoints import Endpoints
from springboard.control.errors import ControlError
from tests.unit.control.conftest import INVOKER, Plane
from tests.unit.control.hosts import IDENTITY

ARN = "arn:aws:sagemaker:eu-west-1:123456789012"
ROLE = "arn:aws:iam::123456789012:role/any"
CONTAINER = {"Image": "1.dkr.ecr.x/y:1", "ModelDataUrl": "s3://models/dive.tar.gz", "Environment": {}}


def model(sagemaker: Any, name: str = "dive", **more: Any) -> str:
    made = sagemaker.create_model(
        ModelName=name, PrimaryContainer={**CONTAINER, **more}, ExecutionRoleArn=ROLE
    )
    return str(made["ModelArn"])


def variant(model: str = "dive", **more: Any) -> dict[str, Any]:
    return {
        "VariantName": "AllTraffic",
        "ModelName": model,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.xlarge",
        "InitialVariantWeight": 1,
        **more,
    }


def config(sagemaker: Any, name: str = "c1", *variants: dict[str, Any], **more: Any) -> str:
    made = sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=list(variants) or [variant()], **more
    )
    return str(made["EndpointConfigArn"])


def refused(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    said = error.value.response["Error"]
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return said["Code"], said["Message"]


def test_a_model_is_shown_as_it_was_given_and_gone_when_deleted(sagemaker: Any) -> None:
    network = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    made = sagemaker.create_model(
        ModelName="dive",
        PrimaryContainer=CONTAINER,
        ExecutionRoleArn=ROLE,
        VpcConfig=network,
        Tags=[{"Key": "team", "Value": "böen"}],
    )
    assert made["ModelArn"] == f"{ARN}:model/dive"
    told = sagemaker.describe_model(ModelName="dive")
    del told["ResponseMetadata"]
    created = told.pop("CreationTime")
    assert abs((datetime.now(UTC) - created).total_seconds()) < 60
    assert told == {
        "ModelName": "dive",
        "ModelArn": f"{ARN}:model/dive",
        "PrimaryContainer": CONTAINER,
        "ExecutionRoleArn": ROLE,
        "VpcConfig": network,
    }
    assert sagemaker.list_tags(ResourceArn=f"{ARN}:model/dive")["Tags"] == [{"Key": "team", "Value": "böen"}]
    sagemaker.delete_model(ModelName="dive")
    with pytest.raises(ClientError) as error:
        sagemaker.describe_model(ModelName="dive")
    assert refused(error) == ("ValidationException", f'Could not find model "{ARN}:model/dive".')
    with pytest.raises(ClientError) as error:
        sagemaker.delete_model(ModelName="dive")
    assert refused(error)[1] == f'Could not find model "{ARN}:model/dive".'


def test_documents_that_cannot_be_had_are_no_bug_of_ours(plane: Plane, sagemaker: Any) -> None:
    model(sagemaker)
    path = plane.store._path("model", "dive")
    path.unlink()
    path.mkdir()
    with pytest.raises(ClientError, match=r"\(ServiceUnavailable\).* is no plain file") as error:
        sagemaker.describe_model(ModelName="dive")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_a_configuration_is_shown_as_it_was_given(sagemaker: Any) -> None:
    model(sagemaker)
    given = [variant(), variant(VariantName="b", InitialVariantWeight=0.5)]
    assert config(sagemaker, "c1", *given) == f"{ARN}:endpoint-config/c1"
    told = sagemaker.describe_endpoint_config(EndpointConfigName="c1")
    assert told["ProductionVariants"] == given
    assert set(told) == {
        *("EndpointConfigName", "EndpointConfigArn", "ProductionVariants", "CreationTime", "ResponseMetadata")
    }
    sagemaker.delete_endpoint_config(EndpointConfigName="c1")
    with pytest.raises(ClientError) as error:
        sagemaker.describe_endpoint_config(EndpointConfigName="c1")
    text = f'Could not find endpoint configuration "{ARN}:endpoint-config/c1".'
    assert refused(error) == ("ValidationException", text)


def test_nothing_is_created_twice(sagemaker: Any) -> None:
    model(sagemaker)
    config(sagemaker)
    with pytest.raises(ClientError) as error:
        model(sagemaker)
    text = f'Cannot create already existing model "{ARN}:model/dive".'
    assert refused(error) == ("ValidationException", text)
    with pytest.raises(ClientError) as error:
        config(sagemaker)
    assert refused(error)[1] == (
        f'Cannot create already existing endpoint configuration "{ARN}:endpoint-config/c1".'
    )


def test_a_configuration_needs_its_models(sagemaker: Any) -> None:
    with pytest.raises(ClientError) as error:
        config(sagemaker)
    assert refused(error)[1] == f'Could not find model "{ARN}:model/dive".'


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}, "ServerlessConfig"),
        ({"ModelName": None}, "inference components"),
        ({"InitialInstanceCount": 3}, "InitialInstanceCount 3"),
        ({"InitialVariantWeight": 0}, "InitialVariantWeight above 0"),
    ],
)
def test_what_has_no_counterpart_is_refused_with_a_sentence(
    sagemaker: Any, changes: dict[str, Any], words: str
) -> None:
    model(sagemaker)
    kept = {name: value for name, value in {**variant(), **changes}.items() if value is not None}
    with pytest.raises(ClientError) as error:
        config(sagemaker, "c1", kept)
    assert words in refused(error)[1]


CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 50,
    "DestinationS3Uri": "s3://captured/live",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"AsyncInferenceConfig": {"OutputConfig": {}}}, "needs S3OutputPath"),
        (
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "https://scores/out"}}},
            "AsyncInferenceConfig: S3OutputPath 'https://scores/out'",
        ),
        (
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://scores", "KmsKeyId": "key"}}},
            "has KmsKeyId",
        ),
        ({"DataCaptureConfig": {**CAPTURE, "KmsKeyId": "key"}}, "has KmsKeyId"),
        (
            {"DataCaptureConfig": {**CAPTURE, "DestinationS3Uri": "https://captured"}},
            "DataCaptureConfig: DestinationS3Uri 'https://captured'",
        ),
    ],
)
def test_jobs_and_captures_that_cannot_be_are_refused_with_a_sentence(
    sagemaker: Any, more: dict[str, Any], words: str
) -> None:
    model(sagemaker)
    with pytest.raises(ClientError) as error:
        config(sagemaker, **more)
    assert words in refused(error)[1]


def test_an_update_may_retain_what_is_captured(plane: Plane, sagemaker: Any) -> None:
    model(sagemaker)
    config(sagemaker, "watched", DataCaptureConfig=CAPTURE)
    config(sagemaker, "plain")
    sagemaker.create_endpoint(EndpointName="dives", EndpointConfigName="watched")

    def served(document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "status": "InService", "serving": document["wanted"]}

    def captured() -> Any:
        plane.store.change("endpoint", "dives", served)
        return sagemaker.describe_endpoint(EndpointName="dives").get("DataCaptureConfig")

    shown = {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 50,
        "DestinationS3Uri": "s3://captured/live",
        "KmsKeyId": "",
    }
    assert captured() == shown
    to_plain = {"EndpointName": "dives", "EndpointConfigName": "plain", "RetainAllVariantProperties": True}
    sagemaker.update_endpoint(**to_plain)
    assert captured() == shown
    left_out = [{"VariantPropertyType": "DataCaptureConfig"}]
    sagemaker.update_endpoint(**to_plain, ExcludeRetainedVariantProperties=left_out)
    assert captured() is None


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"Image": "x"}, "needs ModelDataUrl"),
        ({"ModelDataUrl": "https://models/a.tar.gz", "Image": "x"}, "needs ModelDataUrl"),
        ({**CONTAINER, "Mode": "MultiModel"}, "MultiModel"),
        (
            {**CONTAINER, "Environment": {"SPRINGBOARD_PRECISION": "fp8"}},
            "SPRINGBOARD_PRECISION must be one of",
        ),
        (
            {**CONTAINER, "Environment": {"SPRINGBOARD_WORKERS": "many"}},
            "SPRINGBOARD_WORKERS must be a number",
        ),
        ({**CONTAINER, "Environment": {"SPRINGBOARD_SPEED": "9"}}, "SPRINGBOARD_SPEED"),
    ],
)
def test_a_model_that_cannot_be_served_is_no_model(
    sagemaker: Any, container: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClientError) as error:
        sagemaker.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    assert words in refused(error)[1]
    with pytest.raises(ClientError) as error:
        sagemaker.create_model(ModelName="m", Containers=[CONTAINER, CONTAINER], ExecutionRoleArn=ROLE)
    assert "2 containers" in refused(error)[1]


def test_tags_are_added_replaced_and_removed(sagemaker: Any) -> None:
    arn = model(sagemaker)
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    told = sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "3"}])
    assert told["Tags"] == [{"Key": "a", "Value": "3"}, {"Key": "b", "Value": "2"}]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a", "never"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    with pytest.raises(ClientError) as error:
        sagemaker.list_tags(ResourceArn=f"{ARN}:model/none")
    assert "Could not find resource" in refused(error)[1]


def test_lists_come_in_pages_that_hold_each_once(sagemaker: Any) -> None:
    for number in range(23):
        model(sagemaker, f"m{number:02}")
    pages = list(sagemaker.get_paginator("list_models").paginate(SortBy="Name", SortOrder="Ascending"))
    assert [len(page["Models"]) for page in pages] == [10, 10, 3]
    shown = [one["ModelName"] for page in pages for one in page["Models"]]
    assert shown == [f"m{number:02}" for number in range(23)]
    first = sagemaker.list_models(MaxResults=2)
    assert [one["ModelName"] for one in first["Models"]] == ["m22", "m21"]
    sagemaker.delete_model(ModelName="m21")
    after = sagemaker.list_models(MaxResults=2, NextToken=first["NextToken"])
    assert [one["ModelName"] for one in after["Models"]] == ["m20", "m19"]
    with pytest.raises(ClientError) as error:
        sagemaker.list_models(NextToken="mine")
    assert "Invalid NextToken" in refused(error)[1]


def test_lists_are_filtered_by_name_and_time(sagemaker: Any) -> None:
    model(sagemaker, "dive-a")
    time.sleep(0.002)
    between = datetime.now(UTC)
    time.sleep(0.002)
    model(sagemaker, "dive-b")
    model(sagemaker, "other")

    def names(**asked: Any) -> list[str]:
        return [one["ModelName"] for one in sagemaker.list_models(SortBy="Name", **asked)["Models"]]

    assert names(NameContains="DIVE") == ["dive-b", "dive-a"]
    assert names(SortOrder="Ascending") == ["dive-a", "dive-b", "other"]
    assert names(CreationTimeAfter=between.timestamp()) == ["other", "dive-b"]
    assert names(CreationTimeBefore=between.timestamp()) == ["dive-a"]
    assert names(NameContains="none") == []


def test_keys_that_may_only_invoke_are_refused_in_awss_words(plane: Plane) -> None:
    with pytest.raises(ClientError) as error:
        plane.client(INVOKER).list_models()
    code, text = refused(error)
    assert code == "AccessDeniedException"
    assert text.startswith(
        "User: arn:aws:iam::123456789012:user/app is not authorized to perform: sagemaker:ListModels"
    )
    stranger = INVOKER.model_copy(update={"secret_access_key": "x" * 40})
    with pytest.raises(ClientError) as error:
        plane.client(stranger).list_models()
    assert error.value.response["Error"]["Code"] == "AccessDeniedException"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_other_operations_are_unknown_with_a_sentence(sagemaker: Any) -> None:
    with pytest.raises(ClientError) as error:
        sagemaker.list_training_jobs()
    code, text = refused(error)
    assert code == "UnknownOperationException"
    assert text.startswith("ListTrainingJobs is not offered: this server has AddTags, ")


def test_endpoints_are_as_many_as_memory_holds(plane: Plane) -> None:
    documents = Documents(plane.store, IDENTITY)
    asked = list[int]()

    def holds(more: int) -> bool:
        asked.append(more)
        return len(asked) < 3

    endpoints = Endpoints(documents, holds)
    model(plane.client())
    config(plane.client())
    for number in (1, 2):
        endpoints.operations["CreateEndpoint"]({"EndpointName": f"e{number}", "EndpointConfigName": "c1"})
    with pytest.raises(
        ControlError, match=r"this server's memory holds' is 2, .* utilization of 2 and"
    ) as told:
        endpoints.operations["CreateEndpoint"]({"EndpointName": "e3", "EndpointConfigName": "c1"})
    assert told.value.kind == "ResourceLimitExceeded"
    assert asked == [1, 2, 3]  # those that start have not taken their memory yet
    assert [one["slot"] for one in plane.store.every("endpoint")] == [0, 1]
