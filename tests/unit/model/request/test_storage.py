"""Fetching from a real S3 (SeaweedFS), and what no stand-in can show, from botocore's stubbed answers."""

import io
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.response import StreamingBody
from botocore.stub import Stubber

from model_handler.request.errors import (
    AccessDenied,
    BucketNotAllowed,
    InvalidRequest,
    LimitExceeded,
    ObjectNotFound,
    ScoringError,
    StorageError,
)
from model_handler.request.source import S3Object
from model_handler.request.storage import fetch
from springboard.system.ports import free_ports
from tests.stands.seaweedfs import ObjectStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.xdist_group("torchserve")  # shares the object store with those tests

BUCKETS = ["dives", "secret", "absent"]
LIMIT = 1_000_000


def client(url: str, key: str = "reader") -> "S3Client":
    config = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=f"{key}-secret",
        config=config,
    )


@pytest.fixture
def reader(object_store: ObjectStore) -> Iterator["S3Client"]:
    object_store.client.put_object(Bucket="dives", Key="clip", Body=b"x" * 3000)
    object_store.client.put_object(Bucket="secret", Key="clip", Body=b"x")
    with closing(client(object_store.url)) as made:
        yield made


def test_an_object_comes_whole(reader: "S3Client") -> None:
    assert fetch(S3Object("dives", "clip"), BUCKETS, LIMIT, client=reader) == b"x" * 3000


def test_a_limit_allows_its_own_size_and_refuses_one_byte_more(reader: "S3Client") -> None:
    assert len(fetch(S3Object("dives", "clip"), BUCKETS, 3000, client=reader)) == 3000
    with pytest.raises(LimitExceeded, match="3000 bytes; the limit max_bytes is 2999"):
        fetch(S3Object("dives", "clip"), BUCKETS, 2999, client=reader)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (S3Object("other", "clip"), BucketNotAllowed),
        (S3Object("secret", "clip"), AccessDenied),
        (S3Object("dives", "none"), ObjectNotFound),
        (S3Object("absent", "clip"), ObjectNotFound),
    ],
)
def test_each_refusal_of_s3_has_its_own_error(
    reader: "S3Client", source: S3Object, error: type[ScoringError]
) -> None:
    with pytest.raises(error) as refused:
        fetch(source, BUCKETS, LIMIT, client=reader)
    assert source.bucket in refused.value.message


def test_wrong_credentials_are_denied(object_store: ObjectStore) -> None:
    with closing(client(object_store.url, "stranger")) as stranger, pytest.raises(AccessDenied):
        fetch(S3Object("dives", "clip"), BUCKETS, LIMIT, client=stranger)


def test_an_s3_that_is_not_there_is_unreachable() -> None:
    with closing(client(f"http://127.0.0.1:{free_ports(1)[0]}")) as nobody:
        with pytest.raises(StorageError) as refused:
            fetch(S3Object("dives", "clip"), BUCKETS, LIMIT, client=nobody)
        assert refused.value.status == 502


def test_an_s3_that_accepts_and_says_nothing_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with closing(client(url)) as waiting, pytest.raises(StorageError, match="Try again later"):
            fetch(S3Object("dives", "clip"), BUCKETS, LIMIT, client=waiting)


class Unread(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError("the body was read")


@pytest.fixture
def stubbed() -> Iterator[tuple["S3Client", Stubber]]:
    with closing(client("http://127.0.0.1:1")) as made, Stubber(made) as stubber:
        yield made, stubber


def test_an_object_over_the_limit_is_refused_before_any_of_it_is_read(
    stubbed: tuple["S3Client", Stubber],
) -> None:
    made, stubber = stubbed
    body = StreamingBody(Unread(), LIMIT + 1)
    stubber.add_response("get_object", {"Body": body, "ContentLength": LIMIT + 1})
    with pytest.raises(LimitExceeded):
        fetch(S3Object("dives", "clip"), BUCKETS, LIMIT, client=made)


def test_an_object_encrypted_with_kms_is_read_like_any_other(stubbed: tuple["S3Client", Stubber]) -> None:
    made, stubber = stubbed
    answer: dict[str, Any] = {
        "Body": StreamingBody(io.BytesIO(b"clear"), 5),
        "ContentLength": 5,
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "arn:aws:kms:eu-west-1:123456789012:key/k",
    }
    stubber.add_response("get_object", answer, {"Bucket": "dives", "Key": "clip", "VersionId": "v"})
    assert fetch(S3Object("dives", "clip", "v"), BUCKETS, LIMIT, client=made) == b"clear"


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("AccessDenied", 403, AccessDenied),  # also S3's answer where kms:Decrypt is missing
        ("KMS.DisabledException", 400, AccessDenied),
        ("NoSuchVersion", 404, ObjectNotFound),
        ("InvalidArgument", 400, InvalidRequest),
        ("SlowDown", 503, StorageError),
        ("InternalError", 500, StorageError),
    ],
)
def test_s3_error_codes_map_to_ours(
    stubbed: tuple["S3Client", Stubber], code: str, status: int, error: type[ScoringError]
) -> None:
    made, stubber = stubbed
    stubber.add_client_error("get_object", code, http_status_code=status)
    with pytest.raises(error, match=code) as refused:
        fetch(S3Object("dives", "clip", "v1"), BUCKETS, LIMIT, client=made)
    assert type(refused.value) is error


def test_a_body_that_stalls_ends_at_the_deadline(stubbed: tuple["S3Client", Stubber]) -> None:
    made, stubber = stubbed
    body = StreamingBody(io.BytesIO(b"x" * 100), 100)
    stubber.add_response("get_object", {"Body": body, "ContentLength": 100})
    with pytest.raises(StorageError, match="did not arrive within"):
        fetch(S3Object("dives", "clip"), BUCKETS, LIMIT, timeout_s=0, client=made)
