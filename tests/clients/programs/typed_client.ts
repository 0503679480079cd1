// A client by the types that openapi-typescript writes from /openapi.json, as tsc --strict lets it through.
import createClient from "openapi-fetch";

import type { components, paths } from "./api.js";

type Score = components["schemas"]["Score"];

const client = createClient<paths>({
  baseUrl: process.env.URL!,
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
});
const good = Buffer.concat([Buffer.from("score=84.15 "), Buffer.alloc(500_000, " ")]);

async function say(video: Buffer): Promise<string> {
  const { data, error, response } = await client.POST("/invocations", {
    body: video as unknown as string, // how the types name bytes
    bodySerializer: (body) => body,
    headers: { "Content-Type": "application/octet-stream" },
  });
  if (data === undefined) return `${response.status} ${error.error.code}`;
  const score: Score = data;
  return `${score.score}`;
}

async function sayForm(video: Buffer): Promise<string> {
  const { data, error, response } = await client.POST("/invocations", {
    body: { video: "" },
    bodySerializer: () => {
      const form = new FormData();
      form.set("video", new Blob([new Uint8Array(video)]), "dive.mp4");
      return form;
    },
  });
  return data === undefined ? `${response.status} ${error.error.code}` : `${data.score}`;
}

console.log(JSON.stringify({
  "good": await say(good),
  "not a dive": await say(Buffer.from("status=422 code=not_a_dive")),
  "too large": await say(Buffer.alloc(3_000_000, "x")),
  "good again": await sayForm(good),
}));
