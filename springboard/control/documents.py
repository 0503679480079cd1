"""Models, endpoint configurations and tags: their operations, which change nothing but documents."""

import logging
import re
import time
from collections.abc import Callable
from typing import Any

from springboard.control import configured, listing, names
from springboard.control.errors import ControlError
from springboard.control.names import CONFIG, MODEL, TRANSFORM, Identity
from springboard.control.store import Conflict, Document, DocumentStore
from springboard.endpoint.names import MODEL as RELEASED

log = logging.getLogger("springboard.control")

Answer = dict[str, Any]
Operation = Callable[[Document], Answer]

_MODEL_DATA = re.compile(r"s3://[^/]+/.+")
_TAGS = 50
# What a model may bring along for its container that means something here.
ENVIRONMENT = {"SPRINGBOARD_PRECISION": ("auto", "fp32", "fp16", "bf16"), "SPRINGBOARD_WORKERS": None}
_MOST_WORKERS = 64
_NONE_OF_OURS = (
    *("ServerlessConfig", "InstancePools", "ManagedInstanceScaling", "CapacityReservationConfig"),
    *("CoreDumpConfig", "AcceleratorPartitionLayouts"),
)


class Documents:
    """The operations on models, endpoint configurations and tags, by their names in SageMaker's API."""

    def __init__(
        self, store: DocumentStore, identity: Identity, lenient: bool = False, registry: str = ""
    ) -> None:
        """With `lenient`, what has no counterpart here is accepted with a warning in place of an error.

        With a `registry`, s3://BUCKET, this is a host, which runs nothing but its releases.
        """
        self.registry = registry
        self.store = store
        self.identity = identity
        self._lenient = lenient
        self.operations: dict[str, Operation] = {
            "CreateModel": self._create_model,
            "DescribeModel": lambda asked: self._described(MODEL, asked["ModelName"]),
            "ListModels": lambda asked: self.listed(MODEL, "Models", asked),
            "DeleteModel": lambda asked: self._delete(MODEL, asked["ModelName"]),
            "CreateEndpointConfig": self._create_config,
            "DescribeEndpointConfig": lambda asked: self._described(CONFIG, asked["EndpointConfigName"]),
            "ListEndpointConfigs": lambda asked: self.listed(CONFIG, "EndpointConfigs", asked),
            "DeleteEndpointConfig": lambda asked: self._delete(CONFIG, asked["EndpointConfigName"]),
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }

    def find(self, kind: str, name: str) -> tuple[Document, str]:
        """Return a document and its version; raise `ControlError` as SageMaker does where there is none."""
        if (found := self.store.read(kind, name)) is None:
            raise self.missing(kind, name)
        return found

    def missing(self, kind: str, name: str) -> ControlError:
        """Return what SageMaker says of a thing that is not there."""
        if kind == TRANSFORM:
            return ControlError(f"Could not find requested job with name: {name}")
        return ControlError(f'Could not find {names.SAID[kind]} "{self.identity.arn(kind, name)}".')

    def create(self, kind: str, name: str, document: Document, tags: list[Answer]) -> str:
        """Have a new document; return its ARN. Raises `ControlError` where one is there."""
        now = time.time()
        made = {"name": name, "created": now, **document, "tags": _merged([], tags)}
        arn = self.identity.arn(kind, name)
        try:
            self.store.write(kind, name, made, None)
        except Conflict:
            raise _taken(kind, arn) from None
        return arn

    def no_counterpart(self, why: str) -> None:
        """Refuse what a machine of one's own has not, or warn of it."""
        if not self._lenient:
            raise ControlError(f"{why} Serve with --control-lenient to have it accepted without effect.")
        log.warning("accepted without effect: %s", why)

    def _create_model(self, asked: Document) -> Answer:
        _check_model(asked)
        if self.registry and not location(asked).startswith(f"{self.registry}/releases/{RELEASED}/"):
            raise ControlError(
                f"A host runs what is published in its registry: ModelDataUrl must be "
                f"{self.registry}/releases/{RELEASED}/X.Y.Z/, found {location(asked)[:200]}."
            )
        tags = asked.pop("Tags", [])
        return {"ModelArn": self.create(MODEL, asked["ModelName"], {"said": asked}, tags)}

    def _create_config(self, asked: Document) -> Answer:
        _check_config(asked)
        configured.check(asked, self.no_counterpart)
        for variant in asked["ProductionVariants"]:
            if (count := variant.get("InitialInstanceCount", 1)) != 1:
                name = variant["VariantName"]
                self.no_counterpart(f"Variant {name} has InitialInstanceCount {count}; this is one machine.")
        for variant in [*asked["ProductionVariants"], *asked.get("ShadowProductionVariants", [])]:
            self.find(MODEL, variant["ModelName"])
        tags = asked.pop("Tags", [])
        return {"EndpointConfigArn": self.create(CONFIG, asked["EndpointConfigName"], {"said": asked}, tags)}

    def _described(self, kind: str, name: str) -> Answer:
        document, _ = self.find(kind, name)
        arn = {MODEL: "ModelArn", CONFIG: "EndpointConfigArn"}[kind]
        return {**document["said"], arn: self.identity.arn(kind, name), "CreationTime": document["created"]}

    def listed(
        self,
        kind: str,
        called: str,
        asked: Document,
        more: Callable[[Document], Answer] = lambda _: {},
        one: str = "",
    ) -> Answer:
        """Answer a List call; `more` is what its rows have beside name, ARN and CreationTime.

        `called` is what the answer calls the list, `one` how its rows' names begin.
        """
        one = one or called.removesuffix("s")
        found = listing.chosen(self.store.every(kind), asked)
        shown, token = listing.page(found, asked, lambda document: document["name"])
        rows = [
            {
                f"{one}Name": document["name"],
                f"{one}Arn": self.identity.arn(kind, document["name"]),
                "CreationTime": document["created"],
                **more(document),
            }
            for document in shown
        ]
        return {called: rows, "NextToken": token}

    def _delete(self, kind: str, name: str) -> Answer:
        while True:
            _, version = self.find(kind, name)
            try:
                self.store.remove(kind, name, version)
            except Conflict:
                continue
            return {}

    def _tagged(self, arn: str) -> tuple[str, str]:
        named = self.identity.named(arn)
        if named is None or self.store.read(*named) is None:
            raise ControlError(
                f'Could not find resource "{arn}"; models, endpoint configurations, endpoints and jobs of '
                f"{self.identity.region}, account {self.identity.account}, have tags here."
            )
        return named

    def _add_tags(self, asked: Document) -> Answer:
        kind, name = self._tagged(asked["ResourceArn"])

        def how(document: Document) -> Document:
            return {**document, "tags": _merged(document["tags"], asked["Tags"])}

        changed = self.store.change(kind, name, how)
        return {"Tags": changed["tags"] if changed else []}

    def _list_tags(self, asked: Document) -> Answer:
        document, _ = self.find(*self._tagged(asked["ResourceArn"]))
        shown, token = listing.page(document["tags"], asked, lambda tag: tag["Key"], _TAGS)
        return {"Tags": shown, "NextToken": token}

    def _delete_tags(self, asked: Document) -> Answer:
        kind, name = self._tagged(asked["ResourceArn"])

        def how(document: Document) -> Document:
            return {
                **document,
                "tags": [tag for tag in document["tags"] if tag["Key"] not in asked["TagKeys"]],
            }

        self.store.change(kind, name, how)
        return {}


def _taken(kind: str, arn: str) -> ControlError:
    if kind == TRANSFORM:
        return ControlError(
            f"Job name must be unique within an AWS account and region, and a job with this name already "
            f"exists ({arn})",
            "ResourceInUse",
        )
    return ControlError(f'Cannot create already existing {names.SAID[kind]} "{arn}".')


def _merged(before: list[Answer], given: list[Answer]) -> list[Answer]:
    tags = {tag["Key"]: tag["Value"] for tag in [*before, *given]}
    if len(tags) > _TAGS:
        raise ControlError(f"A resource has at most {_TAGS} tags, and this makes {len(tags)}.")
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def container(model: Document) -> Document:
    """Return the one container of a CreateModel call, which `_check_model` has seen to."""
    found: Document = model.get("PrimaryContainer") or model["Containers"][0]
    return found


def workers_of(model: Document, default: int) -> int:
    """Return how many worker processes a CreateModel call asks for."""
    return int(container(model).get("Environment", {}).get("SPRINGBOARD_WORKERS", default))


def location(model: Document) -> str:
    """Return where a model's data are, `s3://...`; empty where it names none."""
    held = container(model)
    source = held.get("ModelDataSource", {}).get("S3DataSource", {})
    return str(held.get("ModelDataUrl") or source.get("S3Uri", ""))


def _check_model(asked: Document) -> None:
    several = asked.get("Containers", [])
    if asked.get("PrimaryContainer") and several:
        raise ControlError("Give PrimaryContainer or Containers, not both.")
    if not asked.get("PrimaryContainer") and len(several) != 1:
        raise ControlError(
            "A model has one container here, with the model's data; give PrimaryContainer. "
            f"{len(several)} containers in Containers are an inference pipeline, which this server has not."
        )
    held = container(asked)
    if held.get("Mode") == "MultiModel":
        raise ControlError("Mode MultiModel is not offered: an endpoint serves one model a variant.")
    if held.get("ModelPackageName"):
        raise ControlError("ModelPackageName is not offered: give ModelDataUrl, s3://BUCKET/....")
    if not _MODEL_DATA.fullmatch(location(asked)):
        raise ControlError(
            "The container needs ModelDataUrl or ModelDataSource.S3DataSource.S3Uri: "
            "s3://BUCKET/releases/dive/X.Y.Z/ of a registry, s3://BUCKET/.../model.tar.gz, or an archive, "
            "s3://BUCKET/.../dive-X.Y.Z.mar"
        )
    check_environment(held.get("Environment", {}))


def check_environment(environment: dict[str, str]) -> None:
    """Refuse what begins as ours and means nothing; raises `ControlError`."""
    for name, value in environment.items():
        if not name.startswith("SPRINGBOARD_"):
            continue  # of SageMaker's containers and their toolkits: shown again, means nothing here
        if name not in ENVIRONMENT:
            raise ControlError(
                f"Environment has {name}, which means nothing here; known are {', '.join(ENVIRONMENT)}."
            )
        known = ENVIRONMENT[name]
        if known and value not in known:
            raise ControlError(f"{name} must be one of {', '.join(known)}, found {value[:50]!r}.")
        if not known and not (value.isascii() and value.isdecimal() and 1 <= int(value[:9]) <= _MOST_WORKERS):
            raise ControlError(f"{name} must be a number from 1 to {_MOST_WORKERS}, found {value[:50]!r}.")


def _check_config(asked: Document) -> None:
    variants = [*asked["ProductionVariants"], *asked.get("ShadowProductionVariants", [])]
    called = [variant["VariantName"] for variant in variants]
    if doubled := sorted({name for name in called if called.count(name) > 1}):
        raise ControlError(
            f"Variant names must be unique within a configuration: {', '.join(doubled)} is not."
        )
    for variant in variants:
        _check_variant(variant)
        variant.setdefault("InitialVariantWeight", 1.0)
    if not any(variant["InitialVariantWeight"] for variant in asked["ProductionVariants"]):
        raise ControlError("At least one production variant needs an InitialVariantWeight above 0.")
    if "ExplainerConfig" in asked:
        raise ControlError("ExplainerConfig is not offered: this server explains no scores.")


def _check_variant(variant: Document) -> None:
    name = variant["VariantName"]
    if refused := [one for one in _NONE_OF_OURS if one in variant]:
        raise ControlError(f"Variant {name} has {refused[0]}, which has no counterpart on one's own machine.")
    if "ModelName" not in variant:
        raise ControlError(
            f"Variant {name} names no model: inference components are not offered; give ModelName."
        )
