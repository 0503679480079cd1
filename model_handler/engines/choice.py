"""Which engine a worker computes in: the one that its release names, or the faster one on this machine."""

import hashlib
import json
import logging
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import torch

from model_handler.checkpoint import Checkpoint
from model_handler.engines import Networks
from model_handler.engines.in_torch import TorchNetworks
from model_handler.network import CLIP_FRAMES, CLIP_SIZE

log = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "openvino")
# OpenVINO has to be this much faster: its scores differ by a rounding from those of every other machine.
_WORTH = 0.95
_MEASURED_CLIPS, _ROUNDS = 4, 3
_DTYPES = (torch.float32, torch.bfloat16)
_ADVICE = "Install it (requirements/openvino.txt; on hosts torchserve_openvino: true), or set engine: auto"


def choose(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    engine: str,
    cache: Path | None = None,
    quantised: Path | None = None,
) -> Networks:
    """Return the checkpoint's networks in `engine`.

    `auto` takes OpenVINO on a CPU where it is installed and faster, by a short measurement that is kept in
    `cache`; where it fails, it says so in the log and takes PyTorch. `quantised` is the folder of the
    release's int8 networks, where it shall compute in them. Raises ValueError where `openvino` or int8 is
    wanted and cannot be had.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r} in model-config.yaml; it should be {' or '.join(ENGINES)}")

    def in_torch() -> Networks:
        return TorchNetworks(checkpoint, device, dtype)

    def in_openvino() -> Networks:
        from model_handler.engines.in_openvino import OpenVinoNetworks  # not on every machine

        return OpenVinoNetworks(checkpoint, dtype, torch.get_num_threads(), quantised)

    if quantised:
        _require_quantised(engine, quantised)
        engine = "openvino"
    if engine == "openvino":
        _require(device, dtype)
        try:
            return in_openvino()
        except (ImportError, OSError, RuntimeError) as error:
            raise ValueError(
                f"{'precision is int8' if quantised else 'engine is openvino'} in model-config.yaml, and "
                f"OpenVINO does not work here: {_said(error)}. "
                f"{_ADVICE}"
            ) from error
    if engine == "torch" or device.type != "cpu" or dtype not in _DTYPES or not (version := _installed()):
        return in_torch()
    return _faster(in_torch, in_openvino, _Verdict(cache, checkpoint, dtype, version))


def _require(device: torch.device, dtype: torch.dtype) -> None:
    if device.type != "cpu":
        raise ValueError(
            "engine is openvino in model-config.yaml, which computes on the CPU, and the device is "
            f"{device.type}; set engine: auto, or device: cpu"
        )
    if dtype not in _DTYPES:
        raise ValueError(
            "engine is openvino in model-config.yaml, which computes in fp32 or bf16; set precision: auto, "
            "or engine: torch"
        )


def _require_quantised(engine: str, quantised: Path) -> None:
    if engine == "torch":
        raise ValueError(
            "precision is int8 in model-config.yaml, which OpenVINO computes, and engine is torch; set "
            "engine: auto, or precision: auto"
        )
    if not quantised.is_dir():
        raise ValueError(
            "precision is int8 in model-config.yaml, and this archive holds no int8 networks; make it anew "
            "with archive.sh --config and --reference, or set precision: auto"
        )


class _Verdict:
    """Which engine was faster, kept in a file named by the machine, the engines and the networks' shapes."""

    def __init__(self, cache: Path | None, checkpoint: Checkpoint, dtype: torch.dtype, version: str) -> None:
        said = [_processor(), torch.get_num_threads(), str(dtype), torch.__version__, version]
        weights = [f"{part} {sorted(state)}" for part, state in checkpoint.parts.items()]
        made_of = json.dumps([*said, checkpoint.width, checkpoint.gate_width, weights])
        name = f"engine-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.json"
        self._file = cache / name if cache else None

    def read(self) -> str | None:
        """Return the engine, None where none was measured for this machine and these networks."""
        try:
            said: dict[str, str] = json.loads(self._file.read_text()) if self._file else {}
            return said.get("engine")
        except (OSError, ValueError, AttributeError):
            return None  # measured again

    def settle(self, engine: str, seconds: dict[str, float]) -> str:
        """Return what holds: this, or what another worker kept since we looked, for all score alike.

        Where it cannot be kept, the next start measures again.
        """
        if self._file is None:
            return engine
        if kept := self.read():
            return kept
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft = self._file.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps({"engine": engine, "seconds": seconds}) + "\n")
            draft.replace(self._file)
        except OSError as error:
            log.warning("Which engine is faster cannot be kept: %s", error)
        return engine


def _faster(
    in_torch: Callable[[], Networks], in_openvino: Callable[[], Networks], verdict: _Verdict
) -> Networks:
    known = verdict.read()
    if known == "torch":
        return in_torch()
    try:
        networks = in_openvino()
        if known == "openvino":
            return networks
        seconds = {"openvino": _seconds(networks)}
    except (ImportError, OSError, RuntimeError) as error:
        log.warning("OpenVINO is installed and does not work here, so PyTorch computes: %s", _said(error))
        return in_torch()
    # One after the other: two at once would need twice the memory.
    del networks
    networks = in_torch()
    seconds["torch"] = _seconds(networks)
    faster = "openvino" if seconds["openvino"] < _WORTH * seconds["torch"] else "torch"
    engine = verdict.settle(faster, seconds)
    log.info("%d clips take %s s: %s computes", _MEASURED_CLIPS, seconds, engine)
    if engine == "torch":
        return networks
    del networks
    return in_openvino()


def _seconds(networks: Networks) -> float:
    """Return the best of some rounds: what else the machine does only ever adds."""
    clips = torch.zeros(_MEASURED_CLIPS, 3, CLIP_FRAMES, CLIP_SIZE, CLIP_SIZE)
    spent = []
    with torch.inference_mode():
        for _ in range(1 + _ROUNDS):  # the first makes kernels and buffers
            began = time.perf_counter()
            networks.hidden(clips)
            spent.append(time.perf_counter() - began)
    return round(min(spent[1:]), 4)


def _installed() -> str:
    """Return OpenVINO's version, empty where it is not installed."""
    try:
        return metadata.version("openvino")
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    """Return the CPU's name and abilities, as Linux tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return " ".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags"))))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
