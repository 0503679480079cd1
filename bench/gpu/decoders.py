"""Stages of the GPU check about decoding: by the worker's code on so many cores, and by NVDEC."""

import io
import multiprocessing
import os
import statistics
import time
from multiprocessing.connection import Connection

import av
import cv2
from av.codec.hwaccel import HWAccel, hwdevices_available

from bench.gpu.room import QUICK, Found, attempt, clip, keep, seconds_left, show
from model_handler.device import keep_freed_memory
from model_handler.video import Limits, decode

_ALL = len(os.sched_getaffinity(0))


def _loop(pipe: Connection) -> None:
    cv2.setNumThreads(1)
    keep_freed_memory()
    pipe.send("ready")
    while (job := pipe.recv()) is not None:
        name, seconds = job
        data, frames, began, cpu = clip(name), 0, time.perf_counter(), time.process_time()
        while not frames or time.perf_counter() - began < seconds:
            frames += len(decode(data, Limits()).frames)
        pipe.send((frames / (time.perf_counter() - began), time.process_time() - cpu))


def decode_on_cores() -> None:
    """Count frames a second of the worker's own decoding, by processes, up to all cores."""
    context, found, rows = multiprocessing.get_context("spawn"), Found(), []
    pipes, processes = [], []
    for _ in range(_ALL):
        mine, theirs = context.Pipe()
        processes.append(context.Process(target=_loop, args=(theirs,), daemon=True))
        processes[-1].start()
        pipes.append(mine)
    for pipe in pipes:
        pipe.recv()
    counts = sorted({1, max(1, _ALL // 4), max(1, _ALL // 2), _ALL}, reverse=True)
    for name in ("dive", "720p", "1080p"):
        for count in counts:
            if seconds_left() < 6:
                break
            for pipe in pipes[:count]:
                pipe.send((name, 0.3 if QUICK else 1.5))
            said = [pipe.recv() for pipe in pipes[:count]]
            found[f"{name} x{count}"] = {
                "frames_s": sum(one[0] for one in said),
                "cpu_s": sum(one[1] for one in said),
            }
            rows.append([name, count, *found[f"{name} x{count}"].values()])
            keep("decode", found)
    for process in processes:
        process.kill()
    show("clip, processes, frames/s, CPU seconds", rows)


def nvdec() -> None:
    """Decode on the GPU by PyAV's HWAccel, frames brought to memory, beside the CPU."""
    found: Found = {"devices": [str(one) for one in hwdevices_available()]}
    for name in ("dive", "720p", "1080p", "long"):
        for how in ("cuda", "software"):
            found[f"{name} {how}"] = attempt(f"{name} {how}", lambda: _decoded(name, how == "cuda"))  # noqa: B023 - called at once
            print(f"  {name} {how}: {found[f'{name} {how}']}")
            keep("nvdec", found)


def _decoded(name: str, accelerated: bool) -> Found:
    spent, frames, kind = [], 0, ""
    for _ in range(1 if QUICK else 3):
        began, frames = time.perf_counter(), 0
        accel = HWAccel(device_type="cuda", allow_software_fallback=False) if accelerated else None
        with av.open(io.BytesIO(clip(name)), "r", hwaccel=accel) as container:
            for frame in container.decode(video=0):
                kind = frame.format.name
                frame.to_ndarray(format="rgb24")
                frames += 1
        spent.append(time.perf_counter() - began)
    return {"frames": frames, "frames_s": frames / statistics.median(spent), "format": kind}
