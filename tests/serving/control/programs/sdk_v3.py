"""A life by sagemaker-core, of version 3 of the SDK, which checks every answer by its own types.

argv: the model's data, and the name of all that is made.
"""

import json
import sys

from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant

data, name = sys.argv[1:]
container = ContainerDefinition(image="image", model_data_url=data)
model = Model.create(
    model_name=name, primary_container=container, execution_role_arn="arn:aws:iam::123456789012:role/any"
)
variant = ProductionVariant(
    variant_name="AllTraffic",
    model_name=name,
    initial_instance_count=1,
    instance_type="ml.m5.xlarge",
    initial_variant_weight=1,
)
config = EndpointConfig.create(endpoint_config_name=name, production_variants=[variant])
endpoint = Endpoint.create(endpoint_name=name, endpoint_config_name=config)
endpoint.wait_for_status("InService", poll=1, timeout=120)
answer = endpoint.invoke(body=b"score=70.5", content_type="video/mp4")
told = {
    "score": json.loads(answer.body.read())["score"],
    "variant": answer.invoked_production_variant,
    "status": endpoint.endpoint_status,
    "all": [one.endpoint_name for one in Endpoint.get_all(name_contains=name)],
}
endpoint.delete()
endpoint.wait_for_delete(poll=1, timeout=120)
config.delete()
model.delete()
print(f"\n{json.dumps(told)}")  # on a line of its own, below what the SDK prints
