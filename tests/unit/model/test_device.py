"""What a worker refuses or warns of before it computes anything."""

import logging
from pathlib import Path

import pytest
import torch

from model_handler.device import check_cpu, check_cudnn
from model_handler.pipeline import Pipeline, Settings

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")


@pytest.fixture
def cudnn(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: request.param)


@pytest.mark.parametrize("cudnn", [90800, 91002, 91099], indirect=True)
@pytest.mark.usefixtures("cudnn")
def test_cudnn_that_computes_wrong_in_bf16_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"cuDNN 9\.(8|10)\.\d+ .* wrong in bf16.*torch 2\.10.*fp16"):
        check_cudnn(CUDA, torch.bfloat16)
    for device, dtype in ((CUDA, torch.float16), (CUDA, torch.float32), (CPU, torch.bfloat16)):
        check_cudnn(device, dtype)


@pytest.mark.parametrize("cudnn", [8907, 90701, 91100, 91400], indirect=True)
@pytest.mark.usefixtures("cudnn")
def test_cudnn_that_is_slow_in_bf16_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_cudnn(CUDA, torch.float16)
        assert caplog.text == ""
        check_cudnn(CUDA, torch.bfloat16)
    assert "several times slower" in caplog.text
    assert "torch 2.10" in caplog.text


@pytest.mark.parametrize("cudnn", [91500, 92000, None], indirect=True)
@pytest.mark.usefixtures("cudnn")
def test_cudnn_from_9_15_on_is_taken_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        check_cudnn(CUDA, torch.bfloat16)
    assert caplog.text == ""


@pytest.mark.parametrize("cudnn", [91002], indirect=True)
@pytest.mark.usefixtures("cudnn")
def test_worker_on_such_a_gpu_does_not_start(small_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    with pytest.raises(ValueError, match="wrong in bf16"):
        Pipeline(small_weights, Settings(), "dive", "1.0.0")


@pytest.mark.parametrize(("name", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_precision_that_the_cpu_has_no_instructions_for_is_refused(
    name: str, dtype: torch.dtype, small_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supported = f"_is_mkldnn_{name}_supported"
    monkeypatch.setattr(torch.ops.mkldnn, supported, lambda: False)
    with pytest.raises(ValueError, match=f"precision is {name} .*precision: auto"):
        Pipeline(small_weights, Settings(precision=name, device="cpu"), "dive", "1.0.0")
    check_cpu(CUDA, dtype)
    check_cpu(CPU, torch.float32)
    monkeypatch.setattr(torch.ops.mkldnn, supported, lambda: True)
    check_cpu(CPU, dtype)


def test_a_torch_without_onednn_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    check_cpu(CPU, torch.bfloat16)
