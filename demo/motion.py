"""What the diver does: from the approach through the flight to under the water, as joints per frame."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from demo.diver import Floats, Pose, centre_of_mass, joints, turn
from demo.judging import FREE, TUCK, DiveNumber, Faults

GRAVITY = 9.81
WORST_TILT = np.radians(50)
_ENTRY_HEIGHT = 1.05  # of the centre of mass above the water, when hands or feet touch it

_STAND = Pose()
_REACH = Pose(shoulder=np.pi)
_CROUCH = Pose(hip=0.9, knee=1.3, shoulder=-0.6)
_WRAPPED = Pose(shoulder=0.7, elbow=1.9)  # arms across the chest, as in a twist
_TUCKED = Pose(hip=2.35, knee=2.4, shoulder=1.0, elbow=0.4, neck=0.5)
_PIKED = Pose(hip=2.4, knee=0.0, shoulder=1.75, elbow=0.1, neck=0.4)
_FREE = Pose(shoulder=0.15, elbow=0.2)


@dataclass(frozen=True)
class Motion:
    """A dive's joints (frames, 18, 3) in world metres and the frames where flight begins and ends."""

    joints: Floats
    takeoff: int
    entry: int
    entry_x: float


@dataclass(frozen=True)
class Setting:
    """Where and when a dive happens: board height (m), jump (m/s), frames before and after the flight."""

    height: float
    jump: float
    fps: float
    approach: int
    after: int

    @classmethod
    def draw(cls, dive: DiveNumber, rng: Generator) -> "Setting":
        """Draw a springboard of 3 m or a platform of 10 m; armstands happen on platforms alone."""
        platform = dive.armstand or bool(rng.random() < 0.6)
        waits = rng.random() < 0.03  # some divers take their time
        return cls(
            height=10.0 if platform else 3.0,
            jump=float(rng.uniform(3.2, 3.8) if platform else rng.uniform(6.0, 6.5)) - 1.2 * dive.armstand,
            fps=float(rng.choice([25, 30])),
            approach=int(rng.integers(40, 100) if waits else rng.integers(9, 15)),
            after=int(rng.integers(12, 17)),
        )


def choreograph(dive: DiveNumber, faults: Faults, setting: Setting, rng: Generator) -> Motion:
    """Return the whole motion of a dive with these faults."""
    direction = -1.0 if dive.turns_clockwise else 1.0
    start = np.pi * dive.armstand
    heading = 0.0 if dive.faces_water else np.pi
    tilt = float(rng.choice([-1.0, 1.0])) * faults.tilt * WORST_TILT
    turned = direction * (dive.ss_no * np.pi + tilt)
    twist_sign = float(rng.choice([-1.0, 1.0]))
    travel = 1.1 + 2.6 * faults.distance

    frames = _approach(dive, setting, heading, rng)
    origin = centre_of_mass(frames[-1])
    fall = origin[1] - _ENTRY_HEIGHT
    flight = round((setting.jump + np.sqrt(setting.jump**2 + 2 * GRAVITY * fall)) / GRAVITY * setting.fps)
    # Slow where the body is stretched, fast where it is compact: angular momentum is kept.
    shares = np.linspace(0, 1, flight + 1)
    speed = np.array([1 + 1.5 * _compact(_flight_pose(dive, faults, share)) for share in shares])
    progress = np.concatenate([[0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
    progress /= progress[-1]
    twist_from, twist_to = (0.12, 0.82) if dive.position == FREE else (0.08, 0.46)
    twisted = np.clip((shares - twist_from) / (twist_to - twist_from), 0, 1)
    for step in range(1, flight + 1):
        seconds = step / setting.fps
        body = turn(
            joints(_flight_pose(dive, faults, shares[step])),
            start + turned * progress[step],
            heading + twist_sign * np.pi * dive.tw_no * twisted[step],
        )
        rise = setting.jump * seconds - GRAVITY * seconds**2 / 2
        frames.append(body - centre_of_mass(body) + origin + np.array([travel * shares[step], rise, 0.0]))
    entry_x = float(centre_of_mass(frames[-1])[0])
    sinking = (setting.jump - GRAVITY * flight / setting.fps) * 0.9
    for step in range(1, setting.after + 1):
        seconds = step / setting.fps
        depth = sinking * (1 - np.exp(-2 * seconds)) / 2
        frames.append(frames[setting.approach + flight - 1] + [0.3 * seconds, depth, 0.0])
    return Motion(np.stack(frames), setting.approach, setting.approach + flight, entry_x)


def _approach(dive: DiveNumber, setting: Setting, heading: float, rng: Generator) -> list[Floats]:
    """Return the frames on the board: an armstand, or standing or walking and then a crouch and a jump."""
    frames = []
    jump = min(9, setting.approach)
    walks = dive.faces_water and not dive.armstand and rng.random() < 0.7
    phase = rng.uniform(0, 2 * np.pi)
    for step in range(setting.approach):
        left = setting.approach - step  # frames until take-off
        x = -0.15
        if dive.armstand:
            lean = 0.05 * np.sin(phase + step / 5)
            body = turn(joints(_REACH), np.pi + lean, heading)
        else:
            if left <= jump:
                share = 1 - left / jump
                pose = (
                    _STAND.towards(_CROUCH, share * 2)
                    if share < 0.5
                    else _CROUCH.towards(_REACH, share * 2 - 1)
                )
            elif walks:
                x -= 0.045 * (left - jump)
                stride = 0.4 * np.sin(phase + step / 2.5)
                pose = Pose(scissor=stride, swing=-stride, knee=0.2)
            else:
                pose = _STAND.towards(Pose(shoulder=np.pi / 2), 0.5 + 0.5 * np.sin(phase + step / 12))
            body = turn(joints(pose), 0.0, heading)
        feet = body[:, 1].min()
        frames.append(body - [centre_of_mass(body)[0], feet, 0.0] + [x, setting.height, 0.0])
    return frames


def _flight_pose(dive: DiveNumber, faults: Faults, share: float) -> Pose:
    """Return the pose at this share (0 to 1) of the flight, faults included."""
    entry = _REACH if dive.head_first else _STAND
    held = _position(dive, faults)
    if dive.tw_no and dive.position != FREE:
        keys = [(0.0, _REACH), (0.1, _WRAPPED), (0.42, _WRAPPED), (0.54, held), (0.78, held), (0.9, entry)]
    elif dive.tw_no:
        keys = [(0.0, _REACH), (0.12, held), (0.8, held), (0.9, entry)]
    else:
        keys = [(0.0, _REACH), (0.16, held), (0.74, held), (0.88, entry)]
    keys.append((1.0, entry))
    for (before, pose), (after, following) in pairwise(keys):
        if share <= after:
            pose = pose.towards(following, (share - before) / (after - before))
            break
    shown = min(1.0, share / 0.15)  # the jump itself is clean
    return pose._replace(
        knee=max(pose.knee, 1.3 * faults.knees * shown),
        hip=pose.hip + (0.35 * faults.loose + 0.5 * faults.knees) * shown * (pose.hip < 1.0),
        scissor=pose.scissor + 0.5 * faults.legs * shown,
        spread=pose.spread + 0.35 * faults.legs * shown,
    )


def _position(dive: DiveNumber, faults: Faults) -> Pose:
    """Return the position held in the air, open where it should be tight."""
    if dive.position == FREE:
        tight, open_ = (_WRAPPED if dive.tw_no else _FREE), Pose(shoulder=0.9, hip=0.5, spread=0.5)
    elif dive.position == TUCK:
        tight, open_ = _TUCKED, Pose(hip=1.45, knee=1.75, shoulder=0.9, elbow=0.1, spread=0.2)
    else:
        tight, open_ = _PIKED, Pose(hip=1.3, shoulder=1.3, neck=0.1)
    return Pose(*(a + (b - a) * faults.loose for a, b in zip(tight, open_, strict=True)))


def _compact(pose: Pose) -> float:
    """Return how compact the pose is, 0 stretched to 1 tucked."""
    return min(1.0, pose.hip / 2.4) * 0.7 + min(1.0, pose.knee / 2.4) * 0.3
