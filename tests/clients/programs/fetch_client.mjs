// fetch, as Node.js and browsers have it.
import { headers, run } from "./http_cases.mjs";

await run(async (path, body) => {
  const answer = await fetch(process.env.URL + path, { method: "POST", headers, body });
  return [answer.status, await answer.json()];
});
