// Writes the types of /openapi.json, compiles typed_client.ts with them and runs it.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";

const run = (script, ...options) =>
  execFileSync(process.execPath, [`../node_modules/${script}`, ...options], { stdio: ["ignore", 2, 2] });
const folder = mkdtempSync("typed-"); // here, where the compiler finds node_modules
try {
  run("openapi-typescript/bin/cli.js", `${process.env.URL}/openapi.json`, "--output", `${folder}/api.d.ts`);
  copyFileSync("typed_client.ts", `${folder}/client.ts`);
  writeFileSync(`${folder}/package.json`, '{"type": "module"}');
  run("typescript/bin/tsc", "--strict", "--target", "es2022", "--module", "nodenext", "--types", "node", `${folder}/client.ts`);
  await import(`./${folder}/client.js`);
} finally {
  rmSync(folder, { recursive: true });
}
