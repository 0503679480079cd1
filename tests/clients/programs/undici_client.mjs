// undici, which is under Node.js' fetch and can be told more.
import { request } from "undici";

import { headers, run } from "./http_cases.mjs";

await run(async (path, body) => {
  const answer = await request(process.env.URL + path, { method: "POST", headers, body });
  return [answer.statusCode, await answer.body.json()];
});
