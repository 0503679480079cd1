"""Whether a user's or a role's policies allow a request: by action, resource and condition, as IAM decides.

moto's own enforcement knows neither resources nor conditions: of it users, keys and policies are used.
What a request needs is `aws_asks`' business.
A key that belongs to neither is the account's owner, who may do all.
"""

import json
from fnmatch import fnmatchcase
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.access_control import CreateAccessKeyFailure, IAMPolicy, create_access_key

from tests.stands.aws_asks import Ask, Request, asks

_UNCHECKED = {"sts:GetCallerIdentity"}

_asked: dict[str, set[str]] = {}


def refused(request: Request) -> Ask | None:
    """Return the first thing that the request's sender may not do; None where nothing is against it."""
    try:
        headers = {"X-Amz-Security-Token": request.token} if request.token else {}
        who = create_access_key(DEFAULT_ACCOUNT_ID, "aws", request.key, headers)
    except CreateAccessKeyFailure:
        return None
    statements = [
        statement
        for policy in who.collect_policies()
        for statement in IAMPolicy(policy)._policy_json["Statement"]
    ]
    for ask in asks(request):
        if ask.action not in _UNCHECKED and not any(allows(one, ask, request.region) for one in statements):
            return ask
        _asked.setdefault(request.key, set()).add(ask.action)
    return None


def asked(key: str) -> bytes:
    """Return the actions that somebody was allowed, as JSON."""
    return json.dumps(sorted(_asked.get(key, ()))).encode()


def answer(service: str, ask: Ask) -> tuple[str, bytes]:
    """Return the content type and the body of the refusal (403)."""
    says = f"You are not authorized to perform: {ask.action} on resource: {ask.resource} with {ask.context}"
    if service in ("acm", "ssm", "servicequotas", "secretsmanager", "monitoring"):
        return "application/x-amz-json-1.1", json.dumps(
            {"__type": "AccessDeniedException", "message": says}
        ).encode()
    if service == "sqs":
        return "application/x-amz-json-1.0", json.dumps(
            {"__type": "AccessDeniedException", "message": says}
        ).encode()
    code = {"ec2": "UnauthorizedOperation", "sns": "AuthorizationError"}.get(service, "AccessDenied")
    error = f"<Error><Code>{code}</Code><Message>{says}</Message></Error>"
    if service == "s3":
        return "application/xml", error.encode()
    whole = f"<Response><Errors>{error}</Errors></Response>" if service == "ec2" else error
    return "text/xml", (whole if service == "ec2" else f"<ErrorResponse>{whole}</ErrorResponse>").encode()


def allows(statement: dict[str, Any], ask: Ask, region: str) -> bool:
    """Decide whether one statement, which has to be an Allow, allows it."""
    assert statement["Effect"] == "Allow", statement
    context = ask.context | {"aws:RequestedRegion": region}
    return (
        any(fnmatchcase(ask.action.lower(), one.lower()) for one in _list(statement["Action"]))
        and any(fnmatchcase(ask.resource, one) for one in _list(statement["Resource"]))
        and all(
            _holds(operator, _list(values), context.get(name))
            for operator, conditions in statement.get("Condition", {}).items()
            for name, values in conditions.items()
        )
    )


def _holds(operator: str, values: list[str], found: str | None) -> bool:
    if operator == "StringEquals":
        return found in values
    if operator in ("StringLike", "ArnLike"):
        return found is not None and any(fnmatchcase(found, value) for value in values)
    raise AssertionError(f"this stand-in does not know the operator {operator}")


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
