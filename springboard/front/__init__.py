"""The server callers talk to.

A request's way, and the module of each station:

    socket    server        the process; signals, edited files
              connection    HTTP/1.1, whatever else was offered
    routes    access        an id, a line in the log
              paths, cors   slashes, HEAD, what no route takes; pages of other origins
              routes        path -> exchange, state or metrics; openapi and schema describe them
    exchange  ../auth       who calls: headers first, a signature once the body is here
              sagemaker     SageMaker's headers; the answer in the caller's dialect, at the end
              intake/       admission (requests and bytes held) <- body <- source
                            (what it holds: form, unpack) <- s3
              scheduling/   queue -> routing -> dispatch -> a worker; readiness, strikes, shadow beside
              metrics/      counted where it happens; shown by /metrics, status and workermetrics

`front` holds what lives as long as the process; `errors` has what may end a request early, and where.
"""
