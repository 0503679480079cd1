"""An EC2 instance metadata service (IMDSv2 only) that hands out the role credentials it was given.

Moto's invents credentials, and SeaweedFS accepts none that it does not know. Run in a node's network
namespace: metadata.py ACCESS_KEY SECRET_KEY TOKEN REGION
"""

import json
import secrets
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROLE = "springboard-test"
TOKENS: set[str] = set()


class Handler(BaseHTTPRequestHandler):
    """Answers what botocore and the role `model_release` ask an instance."""

    def do_PUT(self) -> None:
        TOKENS.add(token := secrets.token_hex(16))
        self._answer(200, token)

    def do_GET(self) -> None:
        access_key, secret_key, token, region = sys.argv[1:]
        credentials = {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": access_key,
            "SecretAccessKey": secret_key,
            # Empty for SeaweedFS, which knows long-lived keys: botocore then sends no token.
            "Token": token,
            "Expiration": "2099-01-01T00:00:00Z",
        }
        pages = {
            "/latest/meta-data/iam/security-credentials/": ROLE,
            f"/latest/meta-data/iam/security-credentials/{ROLE}": json.dumps(credentials),
            "/latest/meta-data/placement/region": region,
        }
        if self.headers.get("X-aws-ec2-metadata-token") not in TOKENS:
            self._answer(401, "")
        elif page := pages.get(self.path):
            self._answer(200, page)
        else:
            self._answer(404, "")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    ThreadingHTTPServer(("169.254.169.254", 80), Handler).serve_forever()
