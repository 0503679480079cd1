"""Springboard: a self-managed inference server for dive scoring.

The rooms; each line may use the ones below it, and `make check` sees to it:

    cli                              the `springboard` command; one file a command group
    control                          SageMaker's control plane: its documents, the agent that deploys them
    front     deploy     client      the server callers talk to; a host's releases; what asks a server
    auth    torchserve   releases    keys and signatures; all that knows TorchServe; releases in S3
    jobs                             videos that nobody waits for: their queue, their worker, their results
    endpoint                         the document that front and deployments share
    system                           files, processes, ports, sockets, GPUs, logs; knows no model

`refusal` is the base of what a caller can be refused for, `servertiming` the header that tells where the
time went.
"""

# Said here, not by the package's metadata: on a host the code is a copy, without any.
__version__ = "0.1.0"
