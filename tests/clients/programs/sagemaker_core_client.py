"""sagemaker-core, of version 3 of the SDK; AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME points it here."""

import json

from botocore.exceptions import ClientError
from cases import name, run
from sagemaker.core.resources import Endpoint


def ask(body: bytes, endpoint: str) -> str:
    """Score a body."""
    try:
        answer = Endpoint(endpoint_name=endpoint).invoke(body=body)
        return f"{json.loads(answer.body.read())['score']} {answer.invoked_production_variant}"
    except ClientError as error:
        return name(error)


run(ask)
