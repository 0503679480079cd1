"""Which device and precision a worker computes in, and how it holds its memory."""

import ctypes
import logging
from pathlib import Path

import torch

log = logging.getLogger(__name__)

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
INT8 = "int8"
_BF16_GPU = (8, 0)  # Ampere; older GPUs only emulate bfloat16
# cuDNN's own numbers: 9.15.1 is 91501. By pytorch/pytorch issues 163539 (wrong) and 166122, 166643 (slow).
_CUDNN_WRONG = range(90800, 91100)
_CUDNN_SOUND = 91500
_MADV_DONTNEED = 4  # Linux's mman.h
# glibc's malloc.h; a larger M_MMAP_THRESHOLD it refuses.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MMAP_THRESHOLD_MAX = 32 << 20


def choose_device(wanted: str, gpu_id: int | None) -> torch.device:
    """Return the device for `auto`, `cpu` or `cuda`; `gpu_id` is the GPU that TorchServe assigns this worker.

    Raises ValueError for another word, or for `cuda` on a machine without a usable GPU.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device is {wanted!r} in model-config.yaml; it should be auto, cpu or cuda")
    usable = torch.cuda.is_available()
    if wanted == "cuda" and not usable:
        raise ValueError(
            "device is cuda in model-config.yaml, but torch finds no usable GPU (see nvidia-smi)"
        )
    return torch.device("cuda", gpu_id or 0) if usable and wanted != "cpu" else torch.device("cpu")


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """Return the dtype for `auto`, `fp32`, `bf16`, `fp16` or `int8`: there, of what is not quantised.

    `auto`, and so `int8`, takes bf16 where the hardware computes in it, fp16 on older GPUs, fp32 on other
    CPUs. Raises ValueError for another word, and for `int8` on a GPU.
    """
    if wanted in PRECISIONS:
        return PRECISIONS[wanted]
    if wanted not in ("auto", INT8):
        raise ValueError(
            f"precision is {wanted!r} in model-config.yaml; it should be auto, {', '.join(PRECISIONS)}, int8"
        )
    if wanted == INT8 and device.type != "cpu":
        raise ValueError(
            "precision is int8 in model-config.yaml, which CPUs compute, and the device is "
            f"{device.type}; set precision: auto, or device: cpu"
        )
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= _BF16_GPU else torch.float16
    capabilities = torch.cpu.get_capabilities()
    in_hardware = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") or capabilities.get("bf16")
    return torch.bfloat16 if in_hardware else torch.float32


def check_cpu(device: torch.device, dtype: torch.dtype) -> None:
    """Refuse a precision that this CPU computes in PyTorch's own loops: they take over ten minutes a dive.

    Raises ValueError with what to do.
    """
    name = next(name for name, one in PRECISIONS.items() if one == dtype)
    # oneDNN computes convolutions on CPUs; builds of torch without it tell nothing, nor does fp32.
    in_onednn = getattr(torch.ops.mkldnn, f"_is_mkldnn_{name}_supported", None)
    if device.type == "cpu" and in_onednn and not in_onednn():
        raise ValueError(
            f"precision is {name} in model-config.yaml, for which this CPU has no instructions: a dive would "
            "take minutes. Set precision: auto there, or serve this release on a machine that has them"
        )


def check_cudnn(device: torch.device, dtype: torch.dtype) -> None:
    """Refuse a cuDNN that computes 3D convolutions in bf16 wrong without a word; warn of one slow in it.

    Raises ValueError with what to do.
    """
    if device.type != "cuda" or dtype != torch.bfloat16:
        return
    version: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call] # torch's
    if version is None or version >= _CUDNN_SOUND:
        return
    told = f"{version // 10000}.{version // 100 % 100}.{version % 100}" if version >= 90000 else str(version)
    remedy = "Take torch 2.10 or newer, which brings a newer one, or set precision: fp16 in model-config.yaml"
    if version in _CUDNN_WRONG:
        raise ValueError(f"cuDNN {told} computes this model wrong in bf16, without a word. {remedy}")
    log.warning("cuDNN %s computes this model in bf16 several times slower than 9.15 does. %s", told, remedy)


def keep_freed_memory(size: int = 64 << 20, arenas: int | None = None) -> None:
    """Have glibc keep up to `size` freed bytes for what comes next, in so many arenas.

    By default each freed picture goes back to the kernel, whose fresh pages for the next one cost a fifth of
    decoding at 320x240 and more at larger sizes. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_M_TRIM_THRESHOLD, size)
    mallopt(_M_MMAP_THRESHOLD, min(size, _MMAP_THRESHOLD_MAX))
    if arenas is not None:
        mallopt(_M_ARENA_MAX, arenas)


def forget_pages(file: Path) -> None:
    """Take a file's mapped pages out of this process's memory; whoever touches one reads it again.

    Checking and compiling touch every weight once, and half a gigabyte of them would stay. Elsewhere than on
    Linux they do.
    """
    try:
        mapped = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return
    libc, name = ctypes.CDLL(None), str(file.resolve())
    for line in mapped:
        addresses, *_, path = line.split(maxsplit=5)
        if path == name:
            start, end = (int(address, 16) for address in addresses.split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)
