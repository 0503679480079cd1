"""The SageMaker Python SDK, version 2: a Predictor over a session whose runtime client is pointed here."""

import json
import os

import boto3
from botocore.exceptions import ClientError
from cases import name, run
from sagemaker import Session
from sagemaker.predictor import Predictor

SESSION = boto3.Session()
RUNTIME = SESSION.client("sagemaker-runtime", endpoint_url=os.environ["URL"])


def ask(body: bytes, endpoint: str) -> str:
    """Score a body; predict() returns nothing but the answer's body."""
    predictor = Predictor(endpoint, Session(SESSION, sagemaker_runtime_client=RUNTIME))
    try:
        return f"{json.loads(predictor.predict(body))['score']} stable"
    except ClientError as error:
        return name(error)


run(ask)
