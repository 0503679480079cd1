"""Stages of the GPU check about the networks alone: the card, the archive, parity, speed, compiling."""

import json
import os
import platform
import subprocess
import time
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from bench import machine
from bench.gpu import material
from bench.gpu.room import (
    ARCHIVE,
    GFLOP_PER_CLIP,
    KIT,
    QUICK,
    WIDTH,
    WORK,
    Found,
    attempt,
    clip,
    device,
    keep,
    milliseconds,
    precisions,
    seconds_left,
    show,
    synchronize,
)
from model_handler import checkpoint
from model_handler.device import choose_dtype
from model_handler.network import CLIP_FRAMES, CLIP_SIZE, Backbone, Gate
from model_handler.scoring import Scorer
from model_handler.video import Limits, decode
from springboard.system.checkout import ROOT

_ASKED = "name,driver_version,memory.total,clocks.max.sm,power.limit,temperature.gpu,mig.mode.current"
_MATMUL = 512 if QUICK else 8192


def environment() -> None:
    """Tell the card, its software and the machine."""
    try:
        asked = ["nvidia-smi", f"--query-gpu={_ASKED}", "--format=csv"]
        card = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        card = f"nvidia-smi does not answer: {error}"
    cuda = torch.cuda.is_available()
    found: Found = machine.described() | {
        "card": card.strip().splitlines(),
        "device": torch.cuda.get_device_name(0) if cuda else "cpu",
        "capability": torch.cuda.get_device_capability(0) if cuda else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if cuda else None,  # type: ignore[no-untyped-call] # torch's
        "libc": " ".join(platform.libc_ver()),
    }
    for name, value in found.items():
        print(f"  {name}: {value}")
    keep("environment", found)


def make_archive() -> None:
    """Make the weights and the release, whose golden score is fp32's on the CPU."""
    folder, maker, began = WORK / "weights", KIT / "weights" / "make.py", time.perf_counter()
    if maker.exists() and not QUICK:
        subprocess.run([os.environ.get("BASE", "python3"), maker, folder], check=True)
    else:
        material.weights(folder)
    made = time.perf_counter()
    golden = ["--golden", str(KIT / "clips" / "dive")]
    command = [str(ROOT / "archive.sh"), "--weights", str(folder), "--version", "1.0.0", *golden]
    subprocess.run([*command, "--out", str(ARCHIVE.parent)], check=True)
    manifest = json.loads(ARCHIVE.with_suffix(".json").read_text())
    found = {"weights_s": made - began, "archive_s": time.perf_counter() - made, "golden": manifest["golden"]}
    print(f"  {found}")
    with zipfile.ZipFile(ARCHIVE) as mar:
        mar.extract("weights.safetensors", WORK)
    keep("checkpoint", found)


def parity() -> None:
    """Compare each precision's score, gate and time with fp32 on the CPU."""
    loaded = checkpoint.load(WORK / "weights.safetensors")
    dives = {name: decode(clip(name), Limits()).frames for name in ("dive", "720p", "1080p", "long")}
    if QUICK:
        dives = {name: frames if name == "dive" else frames[:40] for name, frames in dives.items()}
    golden = json.loads(ARCHIVE.with_suffix(".json").read_text())["golden"]["score"]
    gate = dict(loaded.parts["gate"]) | {"fc8.bias": torch.zeros_like(loaded.parts["gate"]["fc8.bias"])}
    unforced = replace(loaded, parts={**loaded.parts, "gate": gate})
    cases = [(name, dtype, True) for name, dtype in precisions().items()]
    if device().type == "cuda":
        cases.append(("fp32 without TF32", torch.float32, False))
    auto = choose_dtype("auto", device())
    found: Found = {"golden": golden, "auto": str(auto), "precisions": {}}
    for name, dtype, tf32 in cases:
        torch.backends.cudnn.allow_tf32 = tf32
        found["precisions"][name] = attempt(name, partial(_precision, loaded, unforced, dtype, dives))
        keep("parity", found)
    rows = [
        [
            name,
            one["scores"]["dive"],
            one["scores"]["dive"] - golden,
            one["warm_up_s"],
            one["ms"],
            one["finite"],
        ]
        for name, one in found["precisions"].items()
        if "error" not in one
    ]
    show("precision, points, off the CPU's fp32, warm-up s, ms of gate and score, finite logits", rows)


def _precision(
    loaded: checkpoint.Checkpoint, unforced: checkpoint.Checkpoint, dtype: torch.dtype, dives: Found
) -> Found:
    began = time.perf_counter()
    scorer = Scorer(loaded, device(), dtype)
    scorer.warm_up()
    synchronize()
    warm = time.perf_counter() - began
    scores = {name: scorer.score(scorer.clips([frames]))[0].score for name, frames in dives.items()}
    clips = scorer.clips([dives["dive"]])

    def whole(dive: list[Tensor]) -> None:
        scorer.refusals(dive)
        scorer.score(dive)

    spent = {
        count: milliseconds(partial(whole, clips * count)) for count in (1, 2, 4, 8)[: 1 if QUICK else 4]
    }
    found: Found = {"scores": scores, "warm_up_s": warm, "ms": spent[1], "ms_by_dives": spent}
    if device().type == "cuda":
        found["peak_mb"] = torch.cuda.max_memory_allocated() / 1e6
    logits = Scorer(unforced, device(), dtype).gate_logits(clips)
    found["finite"] = bool(logits is not None and torch.isfinite(logits).all())
    return found


def _network(kind: type[nn.Module], dtype: torch.dtype, layout: torch.memory_format) -> nn.Module:
    torch.manual_seed(1)
    network = kind(WIDTH).eval().requires_grad_(False)
    for parameter in network.parameters():
        at = layout if parameter.dim() == 5 else torch.contiguous_format
        parameter.data = parameter.data.to(device(), dtype, memory_format=at)
    return network


def _clips(count: int, dtype: torch.dtype, layout: torch.memory_format) -> Tensor:
    clips = torch.randn(count, 3, CLIP_FRAMES, CLIP_SIZE, CLIP_SIZE, device=device())
    return clips.to(dtype).contiguous(memory_format=layout)


def nets() -> None:
    """Time the networks by batch, layout and CUDA graph, beside a large product of matrices and a copy."""
    dtype = torch.bfloat16 if device().type == "cuda" else torch.float32
    a, b = (torch.randn(_MATMUL, _MATMUL, device=device(), dtype=dtype) for _ in range(2))
    peak = 2 * _MATMUL**3 / milliseconds(lambda: a @ b, 0.5, 10) / 1e9
    found: Found = {"matmul_tflops": peak, "networks": {}}
    print(f"  {_MATMUL}^3 in {dtype}: {peak:.1f} TFLOP/s")
    rows = []
    with torch.inference_mode():
        for kind, precision, layout, count, how in _plan():
            if seconds_left() < 10:
                print(f"  (out of time before {kind.__name__} {precision} {count})")
                break
            name = f"{kind.__name__} {precision} {layout} {how} {count}"
            ms = attempt(name, lambda: _timed(kind, precisions()[precision], layout, count, how))  # noqa: B023 - called at once
            if isinstance(ms, float):
                tflops = count * GFLOP_PER_CLIP * WIDTH**2 / ms
                found["networks"][name] = {"ms": ms, "tflops": tflops, "of_matmul": tflops / peak}
                rows.append(
                    [
                        kind.__name__,
                        precision,
                        str(layout)[6:],
                        how,
                        count,
                        ms,
                        1000 * count / ms,
                        tflops,
                        tflops / peak,
                    ]
                )
            keep("nets", found)
    show("network, precision, layout, how, clips, ms, clips/s, TFLOP/s, of the matmul's", rows)


def _plan() -> Sequence[tuple[type[nn.Module], str, torch.memory_format, int, str]]:
    last, plain = torch.channels_last_3d, torch.contiguous_format
    counts = (1,) if QUICK else (1, 4, 7, 8, 16, 64)
    plan = [(Backbone, precision, last, count, "eager") for precision in precisions() for count in counts]
    plan += [(Gate, precision, last, count, "eager") for precision in precisions() for count in counts[:2]]
    plan += [(Backbone, precision, plain, counts[-1], "eager") for precision in precisions()]
    if device().type == "cuda":
        plan += [(Backbone, "bf16", last, count, "graph") for count in (1, 7, 64)]
        plan += [(Backbone, "bf16", last, count, "benchmark") for count in (7, 64)]
    return plan


def _timed(
    kind: type[nn.Module], dtype: torch.dtype, layout: torch.memory_format, count: int, how: str
) -> float:
    network, clips = _network(kind, dtype, layout), _clips(count, dtype, layout)
    if how != "graph":
        with torch.backends.cudnn.flags(benchmark=how == "benchmark"):
            return milliseconds(lambda: network(clips), 0.12)
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch's
    with torch.cuda.stream(stream):
        for _ in range(3):
            network(clips)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(clips)
    return milliseconds(graph.replay, 0.12)


def compile_networks() -> None:
    """Time torch.compile against eager, with what compiling took."""
    dtype = precisions()["bf16" if device().type == "cuda" else "fp32"]
    network, clips = (
        _network(Backbone, dtype, torch.channels_last_3d),
        _clips(7, dtype, torch.channels_last_3d),
    )
    found: Found = {}
    with torch.inference_mode():
        eager, want = milliseconds(lambda: network(clips)), network(clips).float()
        for mode in ("default", "max-autotune-no-cudagraphs")[: 1 if QUICK else 2]:
            found[mode] = attempt(mode, lambda: _compiled(network, clips, want, mode))  # noqa: B023 - called at once
            found[mode]["eager_ms"] = eager
            print(f"  {mode}: {found[mode]}")
            keep("compile", found)


def _compiled(network: nn.Module, clips: Tensor, want: Tensor, mode: str) -> Found:
    torch.compiler.reset()
    began = time.perf_counter()
    compiled = torch.compile(network, mode=mode)
    got = compiled(clips).float()
    synchronize()
    took = time.perf_counter() - began
    off = float((got - want).norm() / want.norm())
    return {"compile_s": took, "ms": milliseconds(lambda: compiled(clips)), "relative_error": off}
