// A life by the AWS SDK for JavaScript 3. argv: the model's data, and the name of all that is made.
import {
  CreateEndpointCommand,
  CreateEndpointConfigCommand,
  CreateModelCommand,
  DeleteEndpointCommand,
  DeleteEndpointConfigCommand,
  DeleteModelCommand,
  DescribeEndpointCommand,
  SageMakerClient,
  waitUntilEndpointDeleted,
  waitUntilEndpointInService,
} from "@aws-sdk/client-sagemaker";
import { InvokeEndpointCommand, SageMakerRuntimeClient } from "@aws-sdk/client-sagemaker-runtime";

const [data, name] = process.argv.slice(2);
const client = new SageMakerClient({});
const patience = { client, minDelay: 1, maxDelay: 1, maxWaitTime: 120 };
const endpoint = { EndpointName: name };

await client.send(new CreateModelCommand({
  ModelName: name,
  PrimaryContainer: { Image: "image", ModelDataUrl: data },
  ExecutionRoleArn: "arn:aws:iam::123456789012:role/any",
}));
const variant = { VariantName: "AllTraffic", ModelName: name, InitialInstanceCount: 1, InitialVariantWeight: 1 };
await client.send(new CreateEndpointConfigCommand({
  EndpointConfigName: name,
  ProductionVariants: [{ ...variant, InstanceType: "ml.m5.xlarge" }],
}));
await client.send(new CreateEndpointCommand({ ...endpoint, EndpointConfigName: name }));
await waitUntilEndpointInService(patience, endpoint);
const { EndpointStatus: status } = await client.send(new DescribeEndpointCommand(endpoint));
const asked = { ...endpoint, Body: Buffer.from("score=70.5"), ContentType: "video/mp4" };
const answer = await new SageMakerRuntimeClient({}).send(new InvokeEndpointCommand(asked));
const { score } = JSON.parse(answer.Body.transformToString());
await client.send(new DeleteEndpointCommand(endpoint));
await waitUntilEndpointDeleted(patience, endpoint);
await client.send(new DeleteEndpointConfigCommand({ EndpointConfigName: name }));
await client.send(new DeleteModelCommand({ ModelName: name }));
const gone = await client.send(new DescribeEndpointCommand(endpoint)).catch((error) => error.message);
console.log(JSON.stringify({ score, variant: answer.InvokedProductionVariant, status, gone }));
