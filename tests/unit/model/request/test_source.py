"""A body is a video or names one."""

import json

import pytest

from model_handler.request.errors import EmptyBody, InvalidRequest
from model_handler.request.source import S3Object, parse, pick_field

DIVE = S3Object("dives", "a/b c.mp4")


@pytest.mark.parametrize(
    "pointer",
    [
        {"aqa_data": {"bucket_name": "dives", "object_key": "a/b c.mp4"}},
        {"s3_uri": "s3://dives/a/b c.mp4"},
        {"s3_uri": "s3://dives/a/b c.mp4", "version_id": None},
    ],
)
@pytest.mark.parametrize(
    "content_type", [None, "application/json; charset=utf-8", "application/x-www-form-urlencoded"]
)
def test_pointers_are_read_under_any_content_type(
    pointer: dict[str, object], content_type: str | None
) -> None:
    assert parse(json.dumps(pointer).encode(), content_type) == DIVE
    assert parse(json.dumps(pointer), content_type) == DIVE
    assert parse(pointer, content_type) == DIVE


def test_a_version_is_kept() -> None:
    assert parse({"s3_uri": "s3://dives/k", "version_id": "v1"}) == S3Object("dives", "k", "v1")


def test_other_bytes_are_the_video_itself() -> None:
    assert parse(b"\x00video", "video/mp4") == b"\x00video"
    assert parse(bytearray(b"RIFF"), None) == b"RIFF"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"3",
        b"{}",
        b'{"aqa_data": 1}',
        b'{"aqa_data": {"bucket_name": "dives"}}',
        b'{"aqa_data": {"bucket_name": "dives", "object_key": 5}}',
        b'{"s3_uri": "http://dives/k"}',
        b'{"s3_uri": "s3://dives"}',
        b'{"s3_uri": "s3://dives/"}',
        b'{"s3_uri": "s3://UPPER_case/k"}',
        b'{"s3_uri": "s3://dives/k", "version_id": ""}',
        b'{"s3_uri": "s3://dives/\\ud800"}',
        b'{"s3_uri": "s3://dives/' + b"k" * 1025 + b'"}',
        b'{"s3_uri": "s3://dives/k", "aqa_data": {}}',
        b"{broken",
    ],
)
def test_a_wrong_pointer_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(body, "application/json")


@pytest.mark.parametrize("value", [None, True, 5, 10**12, -1, 1.5])
def test_json_that_torchserve_decoded_to_no_object_is_refused(value: float | None) -> None:
    with pytest.raises(InvalidRequest, match="names no video"):
        parse(value, "application/json")


@pytest.mark.parametrize("content_type", [None, "application/json", "video/mp4"])
def test_an_empty_body_is_refused(content_type: str | None) -> None:
    with pytest.raises(EmptyBody):
        parse(b"", content_type)


def test_a_form_may_name_its_only_field_anything() -> None:
    assert pick_field({"whatever": b"x"}) == b"x"
    assert pick_field({"note": b"hello", "video": b"x"}) == b"x"


@pytest.mark.parametrize("fields", [{"a": b"", "b": b""}, {"data": b"", "file": b""}])
def test_an_ambiguous_form_is_refused(fields: dict[str, bytes]) -> None:
    with pytest.raises(InvalidRequest, match="video"):
        pick_field(fields)


def test_an_empty_form_is_refused() -> None:
    with pytest.raises(EmptyBody):
        pick_field({})
