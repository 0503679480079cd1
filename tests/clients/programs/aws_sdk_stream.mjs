// A stream as the body, which the SDK leaves unsigned over http.
import { Readable } from "node:stream";
import { InvokeEndpointCommand, SageMakerRuntimeClient } from "@aws-sdk/client-sagemaker-runtime";

const client = new SageMakerRuntimeClient({ endpoint: process.env.URL });
const video = Object.assign(Readable.from([Buffer.from("score=84.15 ")]), { length: 12 });
try {
  await client.send(new InvokeEndpointCommand({ EndpointName: "dive-scoring", Body: video }));
  console.log(JSON.stringify({ stream: "scored" }));
} catch (error) {
  console.log(JSON.stringify({ stream: `${error.name}: ${error.message}` }));
}
