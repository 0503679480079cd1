"""Whether a deployment is told to stop: a signal's handler says so, and the loops of the way forth ask."""


class Stopped(Exception):
    """Somebody wants the deployment ended; the message says how it was told."""


class Stop:
    """A flag. No exception leaves a signal's handler: it could come in the middle of any change of state."""

    def __init__(self) -> None:
        self._told = ""

    def tell(self, by: str) -> None:
        """Have whoever asks next stop. Told again, while all is on its way back, nothing more comes of it."""
        self._told = self._told or by

    def ask(self) -> None:
        """Raise `Stopped` where it was told."""
        if self._told:
            raise Stopped(f"told to stop ({self._told})")
