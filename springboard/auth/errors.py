"""What a caller without the right credentials is told."""

from springboard.refusal import Refusal

# What can be wrong with credentials: for our log and metrics, never for the caller.
REASONS = ("missing", "scheme", "malformed", "unknown_token", "unknown_key", "clock", "signature")


class NotAuthorized(Refusal):
    """No or wrong credentials. The message never says which part was wrong."""

    status = 403
    code = "not_authorized"
    sagemaker = (403, "AccessDeniedException")

    def __init__(self, hint: str = "", reason: str = "missing", key_id: str = "") -> None:
        """`hint`: what the request's own headers tell, and nothing that we know of keys.

        `reason` (one of `REASONS`) and the access key id that was claimed are for whoever runs the server.
        """
        self.reason = reason
        self.key_id = key_id
        super().__init__(
            "The request is not authorized: its credentials, signature or date were not accepted." + hint
        )
