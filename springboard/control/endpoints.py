"""Endpoints: their operations, and what Describe tells of them. The agent has what runs follow from it.

An endpoint's document holds what serves (`serving`), what shall (`wanted`) and how far that is: `status` is
SageMaker's. Both hold the models as they were when the call came: what is deleted later takes nothing away.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from springboard.control.configured import captures
from springboard.control.documents import Answer, Documents, Operation, container, location
from springboard.control.errors import ControlError, LimitExceeded
from springboard.control.names import CONFIG, ENDPOINT, MODEL, MOST_ENDPOINTS, SAID
from springboard.control.store import Document

CREATING, UPDATING, IN_SERVICE, DELETING, FAILED = "Creating", "Updating", "InService", "Deleting", "Failed"
ROLLING_BACK = "RollingBack"
BUSY = (CREATING, UPDATING, ROLLING_BACK, DELETING)
# The engine's name for it.
ON_TRIAL = "canary"


class Endpoints:
    """The operations on endpoints, by their names in SageMaker's API."""

    def __init__(
        self,
        documents: Documents,
        holds: Callable[[int], bool] = lambda _: True,
        alarms: frozenset[str] = frozenset(),
        most: int = MOST_ENDPOINTS,
    ) -> None:
        """Work on these documents; `holds` says whether so many more endpoints fit into memory.

        `alarms` are those that somebody watches, and `most` endpoints are taken.
        """
        self._documents, self._holds, self._alarms, self._most = documents, holds, alarms, most
        self._store, self._identity = documents.store, documents.identity
        self._creating = threading.Lock()
        self.operations: dict[str, Operation] = {
            "CreateEndpoint": self._create,
            "DescribeEndpoint": self._describe,
            "ListEndpoints": lambda asked: documents.listed(ENDPOINT, "Endpoints", asked, _state),
            "UpdateEndpoint": self._update,
            "UpdateEndpointWeightsAndCapacities": self._weigh,
            "DeleteEndpoint": self._delete,
        }

    def _create(self, asked: Document) -> Answer:
        name = asked["EndpointName"]
        wanted = self._wanted(asked["EndpointConfigName"], asked.get("DeploymentConfig"))
        document = {"status": CREATING, "modified": time.time(), "wanted": wanted, "serving": None}
        with self._creating, self._store.turn():
            there = self._store.every(ENDPOINT)
            document["slot"] = slot = min(set(range(len(there) + 1)) - {slot_of(one) for one in there})
            if name not in {one["name"] for one in there}:
                self._check_room(there)
                self._check_place(slot, wanted)
            arn = self._documents.create(ENDPOINT, name, document, asked.get("Tags", []))
        return {"EndpointArn": arn}

    def _check_place(self, slot: int, wanted: Document) -> None:
        """Refuse what an endpoint cannot serve in its place; here all places are alike."""

    def _check_room(self, there: list[Document]) -> None:
        starting = sum(one["status"] == CREATING for one in there)
        if len(there) >= self._most:
            raise LimitExceeded("Number of endpoints on this server", self._most, len(there))
        if not self._holds(starting + 1):
            raise LimitExceeded("Number of endpoints that this server's memory holds", len(there), len(there))

    def _update(self, asked: Document) -> Answer:
        self._documents.find(ENDPOINT, asked["EndpointName"])
        wanted = self._wanted(asked["EndpointConfigName"], asked.get("DeploymentConfig"))
        left_out = {one["VariantPropertyType"] for one in asked.get("ExcludeRetainedVariantProperties", [])}

        def how(document: Document) -> Document:
            self._check_idle(document)
            made = {**wanted}
            if asked.get("RetainDeploymentConfig") and made["deployment"] is None:
                made["deployment"] = document.get("last_deployment")
            if asked.get("RetainAllVariantProperties"):
                made |= _retained(made, document["serving"], left_out)
            self._check_place(slot_of(document), made)
            return _begun(document, made)

        return self._changed(asked["EndpointName"], how)

    def _weigh(self, asked: Document) -> Answer:
        given = asked["DesiredWeightsAndCapacities"]
        name, times = Counter(one["VariantName"] for one in given).most_common(1)[0]
        if times > 1:
            raise ControlError(f'The variant name "{name}" was non-unique within the request.')

        def how(document: Document) -> Document:
            self._check_idle(document)
            serving = document["serving"]
            variants = {one["name"]: dict(one) for one in serving["variants"]}
            if unknown := [one["VariantName"] for one in given if one["VariantName"] not in variants]:
                named = ", ".join(f'"{name}"' for name in unknown)
                raise ControlError(
                    f"The variant name(s) {named} is/are not present within endpoint configuration "
                    f'"{serving["config"]}".'
                )
            for one in given:
                self._check_capacity(one)
                if "DesiredWeight" in one:
                    variants[one["VariantName"]]["weight"] = one["DesiredWeight"]
            _check_weights(list(variants.values()))
            return _begun(document, {**serving, "variants": list(variants.values()), "deployment": None})

        return self._changed(asked["EndpointName"], how)

    def _delete(self, asked: Document) -> Answer:
        def how(document: Document) -> Document:
            if document["status"] != FAILED:
                self._check_idle(document)
            return {**document, "status": DELETING, "modified": time.time()}

        self._changed(asked["EndpointName"], how)
        return {}

    def _describe(self, asked: Document) -> Answer:
        document, _ = self._documents.find(ENDPOINT, asked["EndpointName"])
        return described(document, self._identity.arn(ENDPOINT, document["name"]))

    def _changed(self, name: str, how: Any) -> Answer:
        if self._store.change(ENDPOINT, name, how) is None:
            raise self._documents.missing(ENDPOINT, name)
        return {"EndpointArn": self._identity.arn(ENDPOINT, name)}

    def _check_idle(self, document: Document) -> None:
        if document["status"] != IN_SERVICE:
            arn = self._identity.arn(ENDPOINT, document["name"])
            if document["status"] == FAILED:
                raise ControlError(
                    f'Cannot update endpoint "{arn}" that failed; delete it and create it anew.'
                )
            raise ControlError(f'Cannot update in-progress {SAID[ENDPOINT]} "{arn}".')

    def _check_capacity(self, one: Document) -> None:
        if "ServerlessUpdateConfig" in one:
            raise ControlError("ServerlessUpdateConfig has no counterpart on one's own machine.")
        if (count := one.get("DesiredInstanceCount", 1)) != 1:
            self._documents.no_counterpart(
                f"Variant {one['VariantName']} is to have {count} instances, and this is one machine."
            )

    def _wanted(self, config: str, deployment: Document | None) -> Document:
        """Return what an endpoint of this configuration serves, its models written out."""
        said = self._documents.find(CONFIG, config)[0]["said"]
        if len(said.get("ShadowProductionVariants", [])) > 1:
            raise ControlError(f"Endpoint configuration {config} has several shadows, and there is one here.")
        if ON_TRIAL in {one["VariantName"] for one in said["ProductionVariants"]}:
            raise ControlError(f"{ON_TRIAL} is what a model on trial is called: name the variant otherwise.")
        variants = [self._variant(one) for one in said["ProductionVariants"]]
        served = [(location(one["model"]), container(one["model"]).get("Environment")) for one in variants]
        if any(served.count(one) > 1 for one in served):
            raise ControlError(
                f"Endpoint configuration {config} has two variants of the same data and environment; each "
                "needs a model of its own; to have a model's workers share more, set SPRINGBOARD_WORKERS."
            )
        self._check_deployment(deployment or {})
        return {
            "config": config,
            "deployment": deployment,
            "variants": variants,
            "shadows": [self._variant(one) for one in said.get("ShadowProductionVariants", [])],
            "async": said.get("AsyncInferenceConfig"),
            "capture": said.get("DataCaptureConfig"),
        }

    def _variant(self, variant: Document) -> Document:
        model = self._documents.find(MODEL, variant["ModelName"])[0]["said"]
        weight, count = variant["InitialVariantWeight"], variant.get("InitialInstanceCount", 1)
        return {"name": variant["VariantName"], "weight": weight, "instances": count, "model": model}

    def _check_deployment(self, deployment: Document) -> None:
        blue_green, rolling = deployment.get("BlueGreenUpdatePolicy"), deployment.get("RollingUpdatePolicy")
        if blue_green and rolling:
            raise ControlError("Give BlueGreenUpdatePolicy or RollingUpdatePolicy, not both.")
        self._check_alarms(alarms_of(deployment))
        routing = (blue_green or {}).get("TrafficRoutingConfiguration", {})
        kind = routing.get("Type", "ALL_AT_ONCE")
        named = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}.get(kind)
        if named and named not in routing:
            raise ControlError(f"TrafficRoutingConfiguration of type {kind} needs {named}.")
        for size in (routing.get(named or ""), (rolling or {}).get("MaximumBatchSize")):
            _check_size(size)

    def _check_alarms(self, names: list[str]) -> None:
        if names and not self._alarms:
            self._documents.no_counterpart(
                "AutoRollbackConfiguration names alarms, and this server was started without "
                "--control-prometheus (springboard_control_prometheus of a host), whose alerts they are. A "
                "trial is judged by its own figures (errors, times, scores), and rolls back by itself."
            )
        elif unknown := [name for name in names if name not in self._alarms]:
            raise ControlError(
                f"Alarms are alerts of monitoring/rules here, and {', '.join(unknown)} is none of them; "
                f"there are {', '.join(sorted(self._alarms))}."
            )


def alarms_of(deployment: Document) -> list[str]:
    """Return the names of what rolls a deployment back."""
    return [one["AlarmName"] for one in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]


def slot_of(document: Document) -> int:
    """Return which of a server's places an endpoint has; earlier versions had but one."""
    slot: int = document.get("slot", 0)
    return slot


def _state(document: Document) -> Answer:
    return {"LastModifiedTime": document["modified"], "EndpointStatus": document["status"]}


def _check_size(size: Document | None) -> None:
    if size is None:
        return
    if size["Type"] != "CAPACITY_PERCENT":
        raise ControlError("Sizes are of Type CAPACITY_PERCENT here: this is one machine, not several.")
    if size["Value"] > 50:
        raise ControlError(f"A size of CAPACITY_PERCENT is at most 50, found {size['Value']}.")


def _retained(wanted: Document, serving: Document, left_out: set[str]) -> Document:
    """Return what of `wanted` is to be as it serves."""
    retained: Document = {}
    if "DesiredWeight" not in left_out:
        weights = {one["name"]: one["weight"] for one in serving["variants"]}
        variants = wanted["variants"]
        retained["variants"] = [
            {**one, "weight": weights.get(one["name"], one["weight"])} for one in variants
        ]
    if "DataCaptureConfig" not in left_out:
        retained["capture"] = serving.get("capture")
    return retained


def _check_weights(variants: list[Document]) -> None:
    if not any(one["weight"] for one in variants):
        raise ControlError("At least one variant needs a weight above 0.")


def _begun(document: Document, wanted: Document) -> Document:
    if len(wanted["variants"]) > 1:  # one alone serves whatever its weight
        _check_weights(wanted["variants"])
    now = time.time()
    return {**document, "status": UPDATING, "modified": now, "began": now, "wanted": wanted, "stage": ""}


def described(document: Document, arn: str) -> Answer:
    """Return what DescribeEndpoint tells."""
    serving, wanted = document["serving"], document["wanted"]
    pending = document["status"] in (UPDATING, ROLLING_BACK)
    shown = serving or wanted
    return {
        "EndpointName": document["name"],
        "EndpointArn": arn,
        "EndpointConfigName": shown["config"],
        "ProductionVariants": [
            _shown(one, document, old=pending and not number)  # the first one's traffic is what a trial has
            for number, one in enumerate(serving["variants"])
        ]
        if serving
        else None,
        "ShadowProductionVariants": [_shown(one, document) for one in serving["shadows"]]
        if serving and serving["shadows"]
        else None,
        "EndpointStatus": document["status"],
        "FailureReason": document.get("failure") or None,
        "CreationTime": document["created"],
        "LastModifiedTime": document["modified"],
        "LastDeploymentConfig": document.get("last_deployment"),
        "AsyncInferenceConfig": shown["async"],
        "DataCaptureConfig": _captured(shown.get("capture")),
        "PendingDeploymentSummary": _pending(document) if pending else None,
    }


def _captured(asked: Document | None) -> Answer | None:
    if asked is None:
        return None
    return {
        "EnableCapture": captures(asked),
        "CaptureStatus": "Started" if captures(asked) else "Stopped",
        "CurrentSamplingPercentage": asked["InitialSamplingPercentage"],
        "DestinationS3Uri": asked["DestinationS3Uri"],
        "KmsKeyId": asked.get("KmsKeyId", ""),
    }


def _shown(variant: Document, document: Document, old: bool = False) -> Answer:
    share = 1 - document.get("share", 0) / 100 if old else 1
    image = container(variant["model"]).get("Image")
    deployed = {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": document["created"]}
    return {
        "VariantName": variant["name"],
        "DeployedImages": [deployed] if image else None,
        "CurrentWeight": variant["weight"] * share,
        "DesiredWeight": variant["weight"],
        "CurrentInstanceCount": 1,
        "DesiredInstanceCount": variant["instances"],
    }


def _pending(document: Document) -> Answer:
    wanted, stage = document["wanted"], document.get("stage", "")
    share = document.get("share", 0) / 100
    status = "Updating" if document["status"] == ROLLING_BACK else "Baking" if share else "Creating"
    began = document["began"]
    said = {"Status": status, "StatusMessage": stage or None, "StartTime": began}
    return {
        "EndpointConfigName": wanted["config"],
        "StartTime": began,
        "ProductionVariants": [
            {
                "VariantName": one["name"],
                "CurrentWeight": 0.0 if number else one["weight"] * share,
                "DesiredWeight": one["weight"],
                "CurrentInstanceCount": 1,
                "DesiredInstanceCount": one["instances"],
                "VariantStatus": [said],
            }
            for number, one in enumerate(wanted["variants"])
        ],
    }
