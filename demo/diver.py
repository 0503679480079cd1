"""A jointed diver: a pose, the joints it puts where, and how they are drawn.

Body axes: x to the front, y to the head, z to the left side, metres, origin at the pelvis. World axes: x away
from the board, y up from the water, z towards the camera.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]
Colour = tuple[float, float, float]

_LIMB_JOINTS = ("shoulder", "elbow", "hand", "hip", "knee", "ankle", "toe")
JOINTS = (
    *("pelvis", "neck", "head", "face"),
    *(f"left_{joint}" for joint in _LIMB_JOINTS),
    *(f"right_{joint}" for joint in _LIMB_JOINTS),
)
_INDEX = {name: index for index, name in enumerate(JOINTS)}

# Segment lengths and radii of a diver of 1.65 m, in metres.
_TORSO, _NECK, _UPPER_ARM, _FOREARM, _THIGH, _SHIN, _FOOT = 0.50, 0.16, 0.29, 0.36, 0.43, 0.42, 0.17
_SHOULDER_WIDTH, _HIP_WIDTH = 0.17, 0.09
_MASSES = {"pelvis": 0.3, "neck": 0.24, "head": 0.08} | {
    f"{side}_{joint}": mass
    for side in ("left", "right")
    for joint, mass in (("elbow", 0.05), ("knee", 0.10), ("ankle", 0.04))
}
_MASS = np.array([_MASSES.get(name, 0.0) for name in JOINTS])
_MASS /= _MASS.sum()


class Pose(NamedTuple):
    """Joint angles in radians; all zero is standing straight, arms at the sides.

    `hip`, `knee`, `shoulder` and `elbow` bend the way a body does; a `shoulder` of pi is overhead. `scissor`
    takes one leg forward and the other back, `swing` the arms; `spread` takes all four sideways; `neck`
    brings the chin to the chest.
    """

    hip: float = 0.0
    knee: float = 0.0
    shoulder: float = 0.0
    elbow: float = 0.0
    neck: float = 0.0
    scissor: float = 0.0
    spread: float = 0.0
    swing: float = 0.0

    def towards(self, other: "Pose", share: float) -> "Pose":
        """Return the pose that lies `share` (0 to 1) of the way to `other`, easing in and out."""
        eased = share * share * (3 - 2 * share)
        return Pose(*(a + (b - a) * eased for a, b in zip(self, other, strict=True)))


def _limb(angle: float, length: float, aside: float) -> Floats:
    """Return a segment (3,) that hangs down at angle 0 and points to the front at a right angle."""
    down = np.array([np.sin(angle) * np.cos(aside), -np.cos(angle) * np.cos(aside), np.sin(aside)])
    return np.asarray(length * down)


def joints(pose: Pose) -> Floats:
    """Return the joints' places (18, 3) in body axes, in the order of `JOINTS`."""
    at = np.zeros((len(JOINTS), 3))
    at[_INDEX["neck"]] = neck = np.array([0.0, _TORSO, 0.0])
    up = np.array([np.sin(pose.neck), np.cos(pose.neck), 0.0])
    at[_INDEX["head"]] = head = neck + _NECK * up
    at[_INDEX["face"]] = head + 0.06 * np.array([up[1], -up[0], 0.0])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        shoulder = neck + np.array([0.0, -0.05, sign * _SHOULDER_WIDTH])
        raised = pose.shoulder + sign * pose.swing
        elbow = shoulder + _limb(raised, _UPPER_ARM, sign * pose.spread)
        hip = np.array([0.0, 0.0, sign * _HIP_WIDTH])
        thigh = pose.hip + sign * pose.scissor
        knee = hip + _limb(thigh, _THIGH, sign * pose.spread)
        ankle = knee + _limb(thigh - pose.knee, _SHIN, sign * pose.spread)
        for joint, place in (
            ("shoulder", shoulder),
            ("elbow", elbow),
            ("hand", elbow + _limb(raised + pose.elbow, _FOREARM, sign * pose.spread * 0.5)),
            ("hip", hip),
            ("knee", knee),
            ("ankle", ankle),
            ("toe", ankle + _limb(thigh - pose.knee + 0.35, _FOOT, 0.0)),
        ):
            at[_INDEX[f"{side}_{joint}"]] = place
    return at


def turn(body: Floats, somersault: float, twist: float) -> Floats:
    """Turn joints (18, 3) by `twist` about the body's long axis, then by `somersault` about the camera's."""
    c, s = np.cos(twist), np.sin(twist)
    twisted = body @ np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])
    c, s = np.cos(somersault), np.sin(somersault)
    return np.asarray(twisted @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]))


def centre_of_mass(at: Floats) -> Floats:
    """Return the centre of mass (3,) of joints (18, 3)."""
    return np.asarray(_MASS @ at)


@dataclass(frozen=True)
class Look:
    """Colours (RGB, 0 to 255) and build of one diver."""

    skin: Colour
    suit: Colour
    hair: Colour
    full_suit: bool
    build: float

    @classmethod
    def draw(cls, rng: Generator) -> "Look":
        """Draw a look at random."""
        tone = rng.uniform(0.55, 1.05)
        return cls(
            skin=(236 * tone, 186 * tone, 156 * tone),
            suit=tuple(rng.uniform(10, 200, 3)),
            hair=tuple(rng.uniform(10, 90, 3)),
            full_suit=bool(rng.random() < 0.5),
            build=float(rng.uniform(0.92, 1.12)),
        )


def paint(image: Image, pixels: Floats, depth: Floats, scale: float, look: Look) -> None:
    """Draw the diver into an RGB image (H, W, 3), far parts first.

    `pixels` (18, 2) are the joints' places in the image, `depth` (18,) grows towards the camera in metres,
    `scale` is in pixels per metre.
    """
    thickness = scale * look.build
    parts: list[tuple[float, list[str], list[float], Colour]] = []
    for side in ("left", "right"):
        thigh = look.skin if look.full_suit else look.suit
        for names, radii, colour in (
            (("shoulder", "elbow"), (0.055, 0.045), look.skin),
            (("elbow", "hand"), (0.045, 0.03), look.skin),
            (("hip", "knee"), (0.095, 0.07), thigh),
            (("knee", "ankle"), (0.068, 0.042), look.skin),
            (("ankle", "toe"), (0.042, 0.025), look.skin),
        ):
            segment = [f"{side}_{name}" for name in names]
            level = float(np.mean([depth[_INDEX[name]] for name in segment]))
            shade = 1.0 + float(np.clip(level, -0.25, 0.2))  # the far limb lies in the body's shadow
            parts.append((level, segment, list(radii), _shaded(colour, shade)))
    torso = ["left_shoulder", "right_shoulder", "left_hip", "right_hip"]
    body = look.suit if look.full_suit else look.skin
    parts.append((float(depth[_INDEX["pelvis"]]), torso, [0.085, 0.085, 0.1, 0.1], body))
    head, face = float(depth[_INDEX["head"]]), float(depth[_INDEX["face"]])
    parts.append((head, ["neck", "head"], [0.06, 0.06], look.skin))
    parts.append((head + 0.001, ["head"], [0.115], look.hair))
    parts.append((head + 0.002 + (face - head), ["face"], [0.085], look.skin))
    for _, circles, sizes, fill in sorted(parts, key=lambda part: part[0]):
        hull(image, pixels[[_INDEX[name] for name in circles]], np.array(sizes) * thickness, fill)


def _shaded(colour: Colour, shade: float) -> Colour:
    return (colour[0] * shade, colour[1] * shade, colour[2] * shade)


_AROUND = np.stack([np.cos(np.linspace(0, 2 * np.pi, 16)), np.sin(np.linspace(0, 2 * np.pi, 16))], axis=1)


def hull(image: Image, centres: Floats, radii: Floats, colour: Colour) -> None:
    """Fill the convex hull of circles at `centres` (N, 2) with `radii` (N,), in pixels, anti-aliased."""
    outline = (centres[:, None] + radii[:, None, None] * _AROUND).reshape(-1, 2)
    fixed = np.round(outline * 16).astype(np.int32)  # cv2 takes fixed point: four fractional bits
    cv2.fillConvexPoly(image, cv2.convexHull(fixed), colour, cv2.LINE_AA, 4)
