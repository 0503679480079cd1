"""Draw dives as video, with their true score.

    seed ──> dive number, faults, judges ──> motion ──> frames 320x240 ──> H.264 mp4

A seed gives the same dive, to the byte, on the same versions of numpy, OpenCV and FFmpeg.
"""

import io
from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from demo.diver import Look, centre_of_mass, paint
from demo.judging import DIVES, DiveNumber, Faults, faults_for, marks, points
from demo.motion import Setting, choreograph
from demo.scene import HEIGHT, Place, Splash, follow

Video = NDArray[np.uint8]
"""Frames (T, 240, 320, 3), RGB."""


def generator(seed: int, part: str) -> Generator:
    """Return the random generator of one part of one dive: changing a part leaves the others alone."""
    return np.random.default_rng([seed, *part.encode()])


@dataclass(frozen=True)
class Performance:
    """One dive to draw, and what it is worth."""

    seed: int
    dive: DiveNumber
    faults: Faults
    marks: tuple[float, ...]

    @property
    def score(self) -> float:
        """The points that seven judges gave."""
        return points(self.marks, self.dive.difficulty)


@dataclass(frozen=True)
class Drawn:
    """A drawn video: frames (T, 240, 320, 3) RGB, frames/s, and where a dive's flight begins and ends."""

    frames: Video
    fps: float
    takeoff: int = 0
    entry: int = 0


def perform(seed: int, number: str | None = None, execution: float | None = None) -> Performance:
    """Return the dive of this seed.

    Without a dive number or an execution (0 to 10) the seed draws them; executions average 6.3, so that
    points span 0 to about 105 as MTL-AQA's do. The same seed with another execution is the same dive, done
    better or worse.
    """
    rng = generator(seed, "dive")
    drawn = str(rng.choice(list(DIVES)))
    ability = float(10 * rng.beta(1.7, 1.0))
    chosen = DIVES[number if number is not None else drawn]
    faults = faults_for(ability if execution is None else execution, generator(seed, "faults"))
    return Performance(seed, chosen, faults, marks(faults.execution(), generator(seed, "judges")))


def draw(performance: Performance) -> Drawn:
    """Return the dive's frames."""
    seed = performance.seed
    rng = generator(seed, "scene")
    setting = Setting.draw(performance.dive, generator(seed, "setting"))
    motion = choreograph(performance.dive, performance.faults, setting, generator(seed, "motion"))
    place, look = Place.draw(rng), Look.draw(rng)
    yaw = rng.uniform(-0.3, 0.3)  # the camera never stands exactly beside the board
    mirrored = rng.random() < 0.5
    path = np.stack([centre_of_mass(at)[:2] for at in motion.joints])
    cameras = follow(path, setting.fps, rng)
    splash = Splash.draw(motion.entry_x, performance.faults.splash, rng)
    frames = []
    for step, (at, camera) in enumerate(zip(motion.joints, cameras, strict=True)):
        frame = place.backdrop(camera, drift=step * 1.5)
        water = frame.copy()
        place.board(frame, camera, setting.height)
        middle = centre_of_mass(at)
        seen = at - middle
        seen = np.stack(
            [
                seen[:, 0] * np.cos(yaw) + seen[:, 2] * np.sin(yaw),
                seen[:, 1],
                seen[:, 2] * np.cos(yaw) - seen[:, 0] * np.sin(yaw),
            ],
            axis=1,
        )
        paint(frame, camera.pixels(seen + middle), seen[:, 2], camera.scale, look)
        surface = place.surface(camera)
        if surface < HEIGHT:
            frame[surface:] = cv2.addWeighted(frame[surface:], 0.25, water[surface:], 0.75, 0)
        splash.paint(frame, camera, (step - motion.entry + 1) / setting.fps)
        finished = place.finish(frame, step)
        frames.append(finished[:, ::-1] if mirrored else finished)
    return Drawn(np.stack(frames), setting.fps, motion.takeoff, motion.entry)


def encode(frames: Video, fps: float) -> bytes:
    """Return frames (T, H, W, 3) RGB as an H.264 mp4."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        # One thread and the plainest preset: with others the same frames gave other bytes in other runs.
        stream.thread_count = 1
        stream.options = {"crf": "24", "preset": "ultrafast"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()
