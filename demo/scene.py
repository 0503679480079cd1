"""Where a dive happens: walls, tower or board, water, splash, and the camera that follows the diver."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from demo.diver import Colour, Floats, Image, hull

WIDTH, HEIGHT = 320, 240
_NOISES = 6
_NOISE_MEAN = 32  # added with the noise, which is of unsigned bytes, and taken off again


@dataclass(frozen=True)
class Camera:
    """World metres to pixels, one frame's worth."""

    x: float
    y: float
    scale: float  # pixels per metre

    def pixels(self, places: Floats) -> Floats:
        """Return the pixels (N, 2) of world places (N, 2 or 3)."""
        return np.stack(
            [
                WIDTH / 2 + (places[:, 0] - self.x) * self.scale,
                HEIGHT / 2 - (places[:, 1] - self.y) * self.scale,
            ],
            axis=1,
        )


def follow(path: Floats, fps: float, rng: Generator) -> list[Camera]:
    """Return a camera per place (N, 2) of the path: it pans after it, zooms slowly and shakes a little."""
    lag = rng.uniform(0.25, 0.5) * 25 / fps
    wide, close = sorted(rng.uniform(66, 86, 2))
    aim = rng.normal(0, 0.08, 2)
    centre = path[0].copy()
    cameras = []
    for step, place in enumerate(path):
        target = np.array([place[0], max(place[1], 0.9)])
        centre = centre + (target - centre) * (1 - lag)
        x, y = centre + aim + rng.normal(0, 0.008, 2)  # the camera's hand shakes
        zoom = wide + (close - wide) * step / len(path)
        cameras.append(Camera(float(x), float(y), zoom))
    return cameras


@dataclass(frozen=True)
class Place:
    """One venue: its textures and colours, drawn once and looked at through the camera of each frame."""

    wall: Image
    water: Image
    deep: Colour
    structure: Colour
    light: Image  # (1, 256, 3): what a value becomes in each channel
    noise: list[Image]
    caption: tuple[int, int, int, int, Colour] | None

    @classmethod
    def draw(cls, rng: Generator) -> "Place":
        """Draw a venue at random: an indoor wall with stands and banners or an open sky with trees."""
        deep = np.array([rng.uniform(0, 50), rng.uniform(70, 140), rng.uniform(120, 200)])
        caption = None
        if rng.random() < 0.3:
            caption = (int(rng.integers(20, 120)), 212, int(rng.integers(90, 180)), 18, muted(rng, 0.8))
        level = rng.uniform(2, 5)
        gain = rng.uniform(0.75, 1.2) * rng.uniform(0.93, 1.07, 3)
        return cls(
            wall=_wall(rng),
            water=_water(deep, rng),
            deep=(float(deep[0]), float(deep[1]), float(deep[2])),
            structure=muted(rng, 0.15),
            light=(np.arange(256)[None, :, None] * gain).clip(0, 255).astype(np.uint8),
            noise=[
                rng.normal(_NOISE_MEAN, level, (HEIGHT, WIDTH, 3)).astype(np.uint8) for _ in range(_NOISES)
            ],
            caption=caption,
        )

    def backdrop(self, camera: Camera, drift: float) -> Image:
        """Return wall and water (240, 320, 3) as the camera sees them; `drift` (pixels) moves the ripples."""
        rate = camera.scale / 24  # the wall is drawn at 24 pixels a metre
        parallax = 0.8
        to_wall = np.array(
            [
                [1 / rate, 0, self.wall.shape[1] / 2 + camera.x * 24 * parallax - WIDTH / 2 / rate],
                [0, 1 / rate, self.wall.shape[0] - 96 - camera.y * 24 * parallax - HEIGHT / 2 / rate],
            ]
        )
        frame = cv2.warpAffine(
            self.wall,
            to_wall,
            (WIDTH, HEIGHT),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        surface = self.surface(camera)
        if surface < HEIGHT:
            ripples = np.roll(self.water, (int(drift * 0.6), int(drift)), axis=(0, 1))
            frame[surface:] = ripples[: HEIGHT - surface]
        return np.asarray(frame, np.uint8)

    @staticmethod
    def surface(camera: Camera) -> int:
        """Return the image row where the water begins, at most the image's height."""
        return int(np.clip(HEIGHT / 2 + camera.y * camera.scale, 0, HEIGHT))

    def board(self, frame: Image, camera: Camera, height: float) -> None:
        """Draw the platform (10 m) with its tower or the springboard with its stand; its edge is at x = 0."""
        thick = 0.28 if height > 5 else 0.07
        shadow: Colour = (self.structure[0] * 0.6, self.structure[1] * 0.6, self.structure[2] * 0.6)
        for left, right, bottom, top, colour in (
            (-2.6, -1.9, 0.0, height - thick, shadow),
            (-4.5, 0.0, height - thick, height, self.structure),
        ):
            corners = camera.pixels(np.array([[left, bottom], [left, top], [right, top], [right, bottom]]))
            cv2.fillConvexPoly(frame, np.round(corners * 16).astype(np.int32), colour, cv2.LINE_AA, 4)

    def finish(self, frame: Image, step: int) -> Image:
        """Return the frame with light, caption and camera noise."""
        if self.caption is not None:
            x, y, width, height, colour = self.caption
            box = frame[y : y + height, x : x + width]
            box[:] = (0.4 * box + 0.6 * np.array(colour)).astype(np.uint8)
        noise = np.roll(self.noise[step % _NOISES], 37 * step, axis=step % 2)
        # Saturating adds of bytes: several times faster than the same in floats.
        brighter = cv2.add(np.asarray(cv2.LUT(frame, self.light), np.uint8), noise)
        return np.asarray(cv2.subtract(brighter, np.full_like(noise, _NOISE_MEAN)), np.uint8)


def cool(rng: Generator) -> Colour:
    """Return a colour of walls, stands and skies: grey to blue or green, never as warm as skin."""
    grey = rng.uniform(50, 215)
    return float(grey * rng.uniform(0.5, 0.95)), grey, float(grey * rng.uniform(0.9, 1.15))


def muted(rng: Generator, saturation: float) -> Colour:
    """Return a colour at most this saturated (0 to 1)."""
    grey = rng.uniform(50, 225)
    red, green, blue = (grey * (1 + saturation * rng.uniform(-1, 1, 3))).clip(0, 255).tolist()
    return red, green, blue


def _wall(rng: Generator) -> Image:
    """Return a backdrop of 20 x 20 m at 24 pixels a metre; the water line is 4 m above its lower edge."""
    size = 480
    top, bottom = np.array(cool(rng)), np.array(cool(rng))
    ramp = np.linspace(0, 1, size)[:, None, None]
    wall = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (size, size, 3)).astype(np.uint8).copy()
    if rng.random() < 0.5:  # panels
        gap, line = int(rng.integers(25, 70)), cool(rng)
        for x in range(0, size, gap):
            cv2.line(wall, (x, 0), (x, size), line, 1, cv2.LINE_AA)
        for y in range(0, size, gap):
            cv2.line(wall, (0, y), (size, y), line, 1, cv2.LINE_AA)
    for _ in range(rng.integers(1, 6)):  # stands, windows
        x, y = rng.integers(0, size, 2).tolist()
        corner = (x + int(rng.integers(60, 400)), y + int(rng.integers(20, 90)))
        cv2.rectangle(wall, (x, y), corner, cool(rng), -1)
    for _ in range(rng.integers(0, 3)):  # banners
        x, y = rng.integers(0, size, 2).tolist()
        cv2.rectangle(wall, (x, y), (x + int(rng.integers(40, 160)), y + 12), muted(rng, 0.8), -1)
    for _ in range(rng.integers(0, 2)):  # rows of spectators
        row = int(rng.integers(60, 400))
        for x in range(0, size, 7):
            centre = (x, row + int(rng.integers(-5, 5)))
            cv2.circle(wall, centre, 3, muted(rng, 0.5), -1, cv2.LINE_AA)
    if rng.random() < 0.3:  # trees
        green = (rng.uniform(20, 80), rng.uniform(70, 140), rng.uniform(20, 70))
        for _ in range(12):
            centre = (int(rng.integers(0, size)), int(rng.integers(300, 400)))
            cv2.circle(wall, centre, int(rng.integers(10, 35)), green, -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(wall, (0, 0), float(rng.uniform(0.8, 2.5))), np.uint8)


def _water(deep: Floats, rng: Generator) -> Image:
    """Return rippled water, one frame large."""
    ripples = cv2.GaussianBlur(rng.normal(0, 1, (HEIGHT, WIDTH)), (0, 0), sigmaX=9, sigmaY=1.5)
    ripples *= rng.uniform(10, 26) / ripples.std()
    return np.clip(deep + ripples[:, :, None], 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Splash:
    """Drops thrown up where the diver enters: starts (N,), velocities (N, 2) in m/s, radii (N,) in metres."""

    x: float
    size: float
    starts: Floats
    velocities: Floats
    radii: Floats

    @classmethod
    def draw(cls, x: float, size: float, rng: Generator) -> "Splash":
        """Draw a splash of `size` from 0 (a clean rip) to 1 (a column of water)."""
        count = int(25 + 150 * size)
        rise = (1.3 + 5.7 * size) * rng.uniform(0.35, 1.0, count)
        aside = rng.normal(0, 0.25 + 0.95 * size, count)
        return cls(
            x=x,
            size=size,
            starts=rng.uniform(0, 0.12 + 0.15 * size, count),
            velocities=np.stack([aside, rise], axis=1),
            radii=rng.uniform(0.02, 0.05 + 0.06 * size, count),
        )

    def paint(self, frame: Image, camera: Camera, seconds: float) -> None:
        """Draw the splash as it is `seconds` after the entry."""
        if seconds <= 0:
            return
        foam = (0.25 + 1.1 * self.size) * min(1.0, seconds * 4)
        row = np.array([[self.x - foam / 2, -0.05], [self.x + foam / 2, -0.05]])
        hull(frame, camera.pixels(row), np.full(2, 0.06 + 0.1 * self.size) * camera.scale, (228, 238, 242))
        age = seconds - self.starts
        y = self.velocities[:, 1] * age - 9.81 * age**2 / 2
        places = np.stack([self.x + self.velocities[:, 0] * age, y], axis=1)
        up = (age > 0) & (y > 0)
        pixels = np.round(camera.pixels(places[up]) * 16).astype(np.int32)
        radii = np.round(self.radii[up] * camera.scale * 16).astype(np.int32)
        for (column, line), radius in zip(pixels.tolist(), radii.tolist(), strict=True):
            cv2.circle(frame, (column, line), radius, (238, 244, 248), -1, cv2.LINE_AA, 4)
