"""The Server-Timing header: how the worker tells its stages, and the front the caller."""


def read_stages(header: str) -> dict[str, float]:
    """Parse `decode;dur=51.2, gate;dur=80.1`, a Server-Timing header, into milliseconds by stage."""
    stages = {}
    for part in header.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key == "dur" and value.replace(".", "", 1).isdigit():
                stages[name] = float(value)
    return stages
