"""Which device and precision a worker computes in."""

import torch

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_BF16_GPU = (8, 0)  # Ampere; older GPUs only emulate bfloat16


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
    """Return the dtype for `auto`, `fp32`, `bf16` or `fp16`.

    `auto` takes bf16 where the hardware computes in it, fp16 on older GPUs, fp32 on other CPUs. Raises
    ValueError for another word.
    """
    if wanted in PRECISIONS:
        return PRECISIONS[wanted]
    if wanted != "auto":
        raise ValueError(
            f"precision is {wanted!r} in model-config.yaml; it should be auto, {', '.join(PRECISIONS)}"
        )
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= _BF16_GPU else torch.float16
    capabilities = torch.cpu.get_capabilities()
    in_hardware = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") or capabilities.get("bf16")
    return torch.bfloat16 if in_hardware else torch.float32
