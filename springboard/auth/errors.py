"""What a caller without the right credentials is told."""

from springboard.refusal import Refusal


class NotAuthorized(Refusal):
    """No or wrong credentials. The message never says which part was wrong."""

    status = 403
    code = "not_authorized"
    sagemaker = (403, "AccessDeniedException")

    def __init__(self, hint: str = "") -> None:
        """`hint`: what the request's own headers tell, and nothing that we know of keys."""
        super().__init__(
            "The request is not authorized: its credentials, signature or date were not accepted." + hint
        )
