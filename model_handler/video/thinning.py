"""Frames' times, and which frames are taken where a camera made more of them than the model knows."""

from dataclasses import dataclass, field

# MTL-AQA's clips run at 25 to 30 frames/s. A rate within 1 % of the border counts as on it.
USUAL_FPS = (20, 35)
BORDER = 1.01
_AIM_FPS = 30
_EVEN_FPS = (23.5, 35)
# What is faster than this for a clip's length of frames, amid usual ones, is slow motion or a camera's other
# mode, and not its jitter.
_QUICK_FPS = 42
# ffmpeg's own: a longer jump of a broadcast's clock is a cut (dts_delta_threshold, fftools/ffmpeg_demux.c).
_CUT_S = 10
# A clock that overflows jumps by days; no pause is as long as this.
_PAUSE_S = 3600


@dataclass
class Clock:
    """Frames' times in s as a row that only grows, whatever the file says.

    `interval_s` stands in where a time is missing, repeated or runs backwards. Where `restarts`, as in
    MPEG-TS, a jump of more than 10 s forward is a new clock and not a pause; elsewhere one of an hour is.
    """

    interval_s: float
    restarts: bool
    times: list[float] = field(default_factory=list)
    _shift: float = 0.0

    def tick(self, time: float | None) -> float:
        """Return and keep the time of the next frame."""
        last = self.times[-1] if self.times else None
        if last is None:
            now = time or 0.0
        elif time is None:
            now = last + self.interval_s
        else:
            now = time + self._shift
            jump = now - last
            if jump <= 0 or jump > (_CUT_S if self.restarts else _PAUSE_S):
                now = last + self.interval_s
                if abs(jump) > _CUT_S:
                    self._shift = now - time
        self.times.append(now)
        return now


class Thinning:
    """Takes about 30 frames of each second, never one twice; all of them up to 35 frames/s.

    Even steps before exact rates: 50 frames/s become 25, 100 become 33. Where no whole step leads to between
    23.5 and 35, as from 40, frames are taken when 1/30 s has passed. Where only a part is faster, as
    `quickest_s` says, the others' interval is kept.
    """

    def __init__(self, interval_s: float, published: bool, quickest_s: float | None = None) -> None:
        self.fps = 1 / interval_s
        usual = self.fps <= USUAL_FPS[1] * BORDER
        self.quick_fps = 1 / (quickest_s or interval_s)
        self.in_part = usual and self.fps >= USUAL_FPS[0] and self.quick_fps > _QUICK_FPS
        self.active = not published and (self.in_part or not usual)
        steps = [n for n in range(2, round(self.fps / _EVEN_FPS[0]) + 1) if self._even(n)]
        self.every = min(steps, key=lambda n: abs(self.fps / n - _AIM_FPS), default=None)
        self.step_s = self.every * interval_s if self.every else interval_s if usual else 1 / _AIM_FPS
        # A frame is taken for the due time that it is next to.
        self._early_s = interval_s / 2
        self._due_s: float | None = None

    def takes(self, time_s: float) -> bool:
        """Say whether the frame of this time is taken; times only grow."""
        if not self.active:
            return True
        if self._due_s is None:
            self._due_s = time_s
        if time_s < self._due_s - self._early_s:
            return False
        late = time_s - self._due_s > self.step_s / 2
        self._due_s = (time_s if late else self._due_s) + self.step_s
        return True

    def note(self) -> str | None:
        """Return what the caller should know of it, or None where every frame is taken."""
        if not self.active:
            return None
        if self.in_part:
            runs, taken = f"at up to {self.quick_fps:.3g}", f"about {self.fps:.2g} of each second were"
        else:
            runs = f"at {self.fps:.4g}"
            taken = (
                f"every {_ordinal(self.every)} frame was" if self.every else "about 30 of each second were"
            )
        return (
            f"The video runs {runs} frames/s and the model knows 25 to 30: {taken} taken. Check"
            " that it plays at real speed; slow motion that an app has stretched scores wrongly."
        )

    def _even(self, every: int) -> bool:
        return _EVEN_FPS[0] <= self.fps / every <= _EVEN_FPS[1]


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"{number}{ending}"
