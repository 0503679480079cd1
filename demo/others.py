"""Draw videos that are not dives, for the gate: walkers, tumblers, balls, waves, cuts and an empty pool."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.random import Generator

from demo.diver import Floats, Image, Look, Pose, centre_of_mass, joints, paint, turn
from demo.render import Drawn, generator
from demo.scene import HEIGHT, WIDTH, Camera, Place, muted

_GROUND = 40.0  # the water's edge of a venue without a pool, in metres below the camera


def draw_other(seed: int, kind: str | None = None) -> Drawn:
    """Return a video that is not a dive; `kind` is one of `KINDS`, drawn from the seed when None."""
    rng = generator(seed, "other")
    drawn = str(rng.choice(list(KINDS)))
    frames = KINDS[kind if kind is not None else drawn](int(rng.integers(60, 120)), rng)
    place = Place.draw(rng)
    return Drawn(
        np.stack([place.finish(frame, step) for step, frame in enumerate(frames)]),
        float(rng.choice([25, 30])),
    )


def _pan(count: int, rng: Generator, y: float) -> list[Camera]:
    """Return a camera that pans sideways."""
    speed, scale = rng.uniform(-0.03, 0.03), rng.uniform(35, 70)
    return [Camera(speed * step, y + 0.3 * np.sin(step / 30), scale) for step in range(count)]


def _person(frame: Image, body: Floats, x: float, camera: Camera, look: Look) -> None:
    """Draw a person whose lowest joint stands at the height 0."""
    placed = body - [centre_of_mass(body)[0], body[:, 1].min(), 0.0] + [x, 0.0, 0.0]
    paint(frame, camera.pixels(placed), body[:, 2], camera.scale, look)


def _floor(frame: Image, camera: Camera, colour: tuple[float, float, float]) -> None:
    row = int(np.clip(HEIGHT / 2 + camera.y * camera.scale, 0, HEIGHT))
    frame[row:] = np.array(colour, np.uint8)


def _walkers(count: int, rng: Generator) -> Iterator[Image]:
    """People who walk by."""
    place, ground = Place.draw(rng), muted(rng, 0.3)
    people = [
        (Look.draw(rng), rng.uniform(-2, 2), rng.choice([-1, 1]) * rng.uniform(0.02, 0.06), rng.uniform(0, 6))
        for _ in range(rng.integers(1, 5))
    ]
    for step, camera in enumerate(_pan(count, rng, 1.0)):
        frame = place.backdrop(Camera(camera.x, camera.y + _GROUND, camera.scale), 0)
        _floor(frame, camera, ground)
        for look, start, speed, phase in people:
            stride = 0.5 * np.sin(phase + step / 3)
            pose = Pose(scissor=stride, swing=-stride, knee=0.25, elbow=0.3)
            heading = 0.0 if speed > 0 else np.pi
            _person(frame, turn(joints(pose), 0.0, heading), start + speed * step, camera, look)
        yield frame


def _tumblers(count: int, rng: Generator) -> Iterator[Image]:
    """Somebody who rolls or cartwheels over the floor: turns like a dive, without height or water."""
    place, ground, look = Place.draw(rng), muted(rng, 0.5), Look.draw(rng)
    pose = Pose(hip=2.3, knee=2.3, shoulder=1.0) if rng.random() < 0.5 else Pose(shoulder=np.pi, spread=0.7)
    speed, twist = rng.uniform(0.08, 0.3) * rng.choice([-1, 1]), rng.uniform(0, np.pi)
    for step, camera in enumerate(_pan(count, rng, 1.0)):
        frame = place.backdrop(Camera(camera.x, camera.y + _GROUND, camera.scale), 0)
        _floor(frame, camera, ground)
        _person(
            frame, turn(joints(pose), speed * step, twist), -speed * 0.3 * (step - count / 2), camera, look
        )
        yield frame


def _balls(count: int, rng: Generator) -> Iterator[Image]:
    """Balls that bounce."""
    place, ground = Place.draw(rng), muted(rng, 0.4)
    balls = [
        (rng.uniform(0, WIDTH), rng.uniform(-4, 4), rng.uniform(60, 160), rng.uniform(8, 24), muted(rng, 0.9))
        for _ in range(rng.integers(1, 6))
    ]
    period = rng.uniform(10, 25)
    for step, camera in enumerate(_pan(count, rng, 1.0)):
        frame = place.backdrop(Camera(camera.x, camera.y + _GROUND, camera.scale), 0)
        _floor(frame, camera, ground)
        for index, (x, speed, height, radius, colour) in enumerate(balls):
            up = abs(np.sin(step / period * np.pi + index)) * height
            centre = (int((x + speed * step) % WIDTH), int(190 - up))
            cv2.circle(frame, centre, int(radius), colour, -1, cv2.LINE_AA)
        yield frame


def _waves(count: int, rng: Generator) -> Iterator[Image]:
    """Open sea."""
    place, surface = Place.draw(rng), rng.uniform(60, 160)
    x = np.arange(WIDTH)
    crests = [(rng.uniform(20, 90), rng.uniform(0.05, 0.3), rng.uniform(2, 9)) for _ in range(3)]
    for step, camera in enumerate(_pan(count, rng, 0.0)):
        frame = place.backdrop(Camera(camera.x, _GROUND, camera.scale), 0)
        line = surface + sum(size * np.sin(x / length + speed * step) for length, speed, size in crests)
        sea = place.backdrop(Camera(0, -HEIGHT, 1.0), step * 2.0)
        below = np.arange(HEIGHT)[:, None] > line
        frame[below] = sea[below]
        yield frame


def _cuts(count: int, rng: Generator) -> Iterator[Image]:
    """Scenes with nobody in them, cut hard."""
    until = 0
    for step in range(count):
        if step == until:
            until += int(rng.integers(6, 30))
            place, camera = (
                Place.draw(rng),
                Camera(rng.uniform(-4, 4), rng.uniform(0, 9), rng.uniform(30, 80)),
            )
            speed = rng.uniform(-0.1, 0.1)
        camera = Camera(camera.x + speed, camera.y, camera.scale)
        yield place.backdrop(camera, step * 1.5)


def _empty_pool(count: int, rng: Generator) -> Iterator[Image]:
    """Pools with a board or a tower and nobody who dives; somebody may stand on it."""
    place, height = Place.draw(rng), float(rng.choice([3.0, 10.0]))
    look = Look.draw(rng) if rng.random() < 0.5 else None
    fall = rng.uniform(-0.05, 0.05)
    top = height + 0.6 if look else rng.uniform(0.8, height + 1)
    for step, camera in enumerate(_pan(count, rng, 0.0)):
        seen = Camera(camera.x, max(0.6, top + (0 if look else fall * step)), camera.scale)
        frame = place.backdrop(seen, step * 1.5)
        place.board(frame, seen, height)
        if look:
            raised = Pose(shoulder=1.5 + np.sin(step / 12))
            _person(frame, joints(raised), -0.3, Camera(seen.x, seen.y - height, seen.scale), look)
        yield frame


KINDS: dict[str, Callable[[int, Generator], Iterator[Image]]] = {
    "walkers": _walkers,
    "tumblers": _tumblers,
    "balls": _balls,
    "waves": _waves,
    "cuts": _cuts,
    "empty pool": _empty_pool,
}
"""What is drawn that is not a dive."""
