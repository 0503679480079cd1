"""What the published one-click script calls, with the SageMaker Python SDK 2 as it is; and its `Transformer`.

argv: resource-metadata.json, the model's data, the fixed name, bucket and key of the video.
"""

import json
import os
import sys
import time
import urllib.request

import sagemaker.session
from sagemaker import get_execution_role
from sagemaker.deserializers import JSONDeserializer
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serializers import JSONSerializer

metadata, data, fixed, bucket, key = sys.argv[1:]
# Where a notebook has it is root's, and the SDK asks every 30 s: a wait is as long as the server takes.
sagemaker.session.NOTEBOOK_METADATA_FILE = metadata
_sleep = time.sleep
time.sleep = lambda seconds: _sleep(min(seconds, 1.0))

model = Model(image_uri=os.environ["IMAGE"], role=get_execution_role(), model_data=data)
model.deploy(
    initial_instance_count=1,
    instance_type="ml.m5.xlarge",
    serializer=JSONSerializer(),
    deserializer=JSONDeserializer(),
)
made = Predictor(model.endpoint_name, serializer=JSONSerializer(), deserializer=JSONDeserializer())
old = Predictor(fixed, serializer=JSONSerializer(), deserializer=JSONDeserializer())
event = {"aqa_data": {"bucket_name": bucket, "object_key": key}}
answers = {"made": made.predict(event), "fixed": old.predict(event), "name": made.endpoint_name}

plain = urllib.request.Request(os.environ["PLAIN"], json.dumps(event).encode(), method="POST")
plain.add_header("Content-Type", "application/json")
plain.add_header("Authorization", f"Bearer {os.environ['TOKEN']}")
with urllib.request.urlopen(plain) as answer:
    answers["plain"] = json.load(answer)
transformer = model.transformer(
    instance_count=1, instance_type="ml.m5.xlarge", output_path=f"s3://{bucket}/scored"
)
transformer.transform(f"s3://{bucket}/{key}", content_type="video/quicktime", wait=True, logs=False)
made.delete_endpoint()
print(f"\n{json.dumps(answers)}")  # on a line of its own, below what the SDK prints
