// The AWS SDK for JavaScript, version 3.
import { InvokeEndpointCommand, SageMakerRuntimeClient } from "@aws-sdk/client-sagemaker-runtime";

const client = new SageMakerRuntimeClient({ endpoint: process.env.URL });
const good = Buffer.concat([Buffer.from("score=84.15 "), Buffer.alloc(500_000, " ")]);

async function ask(body, endpoint = "dive-scoring") {
  try {
    const answer = await client.send(new InvokeEndpointCommand({ EndpointName: endpoint, Body: body }));
    return `${JSON.parse(answer.Body.transformToString()).score} ${answer.InvokedProductionVariant}`;
  } catch (error) {
    if (error.OriginalMessage === undefined) return error.name;
    return `${error.name} ${error.OriginalStatusCode} ${JSON.parse(error.OriginalMessage).error.code}`;
  }
}

console.log(JSON.stringify({
  "good": await ask(good),
  "not a dive": await ask(Buffer.from("status=422 code=not_a_dive")),
  "too large": await ask(Buffer.alloc(3_000_000, "x")),
  "good again": await ask(good),
  "unknown endpoint": await ask(good, "nobody"),
}));
