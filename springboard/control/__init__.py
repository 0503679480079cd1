"""SageMaker's control plane on one's own machine: models, endpoint configurations and endpoints by its API.

    wire ─> shapes ─> operations ─> documents <─ agent ─> deployments (springboard.deploy)

A request changes documents and nothing else; the agent has what runs follow from them, with the engine that
deploys on hosts. Of a fleet's hosts, which share the documents, one agent at a time does so, and moves the
channel that the others follow.
"""
