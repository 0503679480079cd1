"""What tests send to a front, and how they read its errors."""

import json

import httpx

VIDEO = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 200
ROUTES = ["/invocations", "/endpoints/dive-scoring/invocations", "/predictions/dive"]


def error_of(response: httpx.Response) -> tuple[int, str]:
    """The status and code on the plain routes, the original ones of SageMaker's ModelError."""
    body = response.json()
    if "OriginalStatusCode" in body:
        return body["OriginalStatusCode"], json.loads(body["OriginalMessage"])["error"]["code"]
    return response.status_code, body.get("error", {}).get("code") or response.headers["x-amzn-errortype"]
