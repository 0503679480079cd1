"""boto3, any version."""

import json
import os

import boto3
from botocore.exceptions import ClientError
from cases import name, run

CLIENT = boto3.client("sagemaker-runtime", endpoint_url=os.environ["URL"])


def ask(body: bytes, endpoint: str) -> str:
    """Score a body."""
    try:
        answer = CLIENT.invoke_endpoint(EndpointName=endpoint, Body=body)
        return f"{json.load(answer['Body'])['score']} {answer['InvokedProductionVariant']}"
    except ClientError as error:
        return name(error)


run(ask)
