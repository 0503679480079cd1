// @ts-check
// The same request from a terminal and from Python, filled in for this server, endpoint and file.
import { Copy, html } from "../shared/dom.js";
import { hasToken } from "../shared/session.js";
import { T } from "../shared/strings.js";

/** As one word of a shell. @param {string} text */
function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

const base = () => new URL(".", location.href).href.replace(/\/$/, "");

/** @param {Dive} dive */
export function asCurl(dive) {
  const lines = [`curl ${quoted(`${base()}/invocations`)}`];
  // The token itself stays out of what people paste and shells remember.
  if (hasToken()) lines.push('-H "Authorization: Bearer $SPRINGBOARD_TOKEN"');
  if (dive.pin) lines.push(`-H ${quoted(`X-Amzn-SageMaker-Target-Variant: ${dive.pin}`)}`);
  if (dive.s3) {
    lines.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify({ s3_uri: dive.s3 }))}`);
  } else {
    lines.push(`--data-binary ${quoted(`@${dive.name}`)}`, "-H 'Content-Type: application/octet-stream'");
  }
  return lines.join(" \\\n  ");
}

/** @param {Dive} dive @param {string} endpoint */
export function asBoto3(dive, endpoint) {
  const python = (/** @type {string} */ text) => JSON.stringify(text);
  const body = dive.s3
    ? `json.dumps({"s3_uri": ${python(dive.s3)}})`
    : `open(${python(dive.name)}, "rb").read()`;
  const pin = dive.pin ? `, TargetVariant=${python(dive.pin)}` : "";
  const kind = dive.s3 ? ', ContentType="application/json"' : "";
  return `import boto3, json

runtime = boto3.client("sagemaker-runtime", endpoint_url=${python(base())})
answer = runtime.invoke_endpoint(
    EndpointName=${python(endpoint)}, Body=${body}${kind}${pin}
)
print(json.load(answer["Body"])["score"])`;
}

/** @param {{ dive: Dive, endpoint: string }} props */
export function Same({ dive, endpoint }) {
  const curl = asCurl(dive);
  const boto3 = asBoto3(dive, endpoint);
  return html`<details class="same">
    <summary>${T.detail.same}</summary>
    <div class="code"><pre dir="ltr" tabindex="0">${curl}</pre><${Copy} text=${curl} label=${T.detail.copyCurl} /></div>
    <div class="code"><pre dir="ltr" tabindex="0">${boto3}</pre><${Copy} text=${boto3} label=${T.detail.copyBoto3} /></div>
  </details>`;
}
