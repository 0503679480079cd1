"""Which line of TorchServe's log a person is shown. The lines are those that TorchServe 0.12 prints."""

import json

import pytest

from springboard.torchserve import log

INFO = "2026-11-28T04:42:20,444 [INFO ] main org.pytorch.serve.wlm.ModelManager - Model dive loaded."
WARN = "2026-11-28T04:42:20,835 [WARN ] pool-3-thread-1 serve.X - worker pid is not available yet."
MODEL = "2026-11-28T04:42:21,957 [INFO ] W-9000-dive_1.0.0-stdout MODEL_LOG - "
NO_NVIDIA_SMI = [
    "WARNING: A terminally deprecated method in sun.misc.Unsafe has been called",
    "java.lang.AssertionError: Unexpected nvidia-smi response.",
    "\tat org.pytorch.serve.util.ConfigManager.getAvailableGpu(ConfigManager.java:979)",
    "\tat org.pytorch.serve.ModelServer.main(ModelServer.java:88)",
]
IN_USE = [
    'Exception in thread "main" java.lang.IllegalStateException: cannot start',
    "\tat org.pytorch.serve.ModelServer.main(ModelServer.java:88)",
    "Caused by: java.net.BindException: Address already in use",
    "\tat java.base/sun.nio.ch.Net.bind(Net.java:565)",
    "\t... 4 more",
]
OF_A_WORKER = [
    "java.lang.InterruptedException: null",
    "\tat org.pytorch.serve.wlm.WorkerThread.run(WorkerThread.java:234)",
]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "its log is empty"),
        (["", INFO], INFO),
        ([INFO, WARN, INFO], WARN),
        ([WARN, MODEL + "loading", MODEL + "warming up", INFO], "warming up"),
        (
            [
                MODEL + "Traceback (most recent",
                MODEL + "KeyError: 'fc6'",
                MODEL + "ValueError: x",
            ],
            "KeyError: 'fc6'",
        ),
        ([MODEL + "loading", *OF_A_WORKER], "loading"),
        ([MODEL + "loading", *IN_USE], "java.lang.IllegalStateException: cannot start"),
    ],
)
def test_the_line_that_tells_most_is_told(lines: list[str], told: str) -> None:
    assert log.gist(lines) == told


def test_of_lines_that_workers_write_as_json_the_message_is_told() -> None:
    trace = "Backend worker process died.\nTraceback (most recent call last):\nKeyError: 'fc6'"
    line = json.dumps({"time": "2026-11-28T04:42:21", "level": "ERROR", "message": trace})
    for before in ("", "<3>", MODEL):
        assert log.gist([f"<6>{INFO}", before + line]) == "KeyError: 'fc6'"
    assert log.gist([f"<4>{WARN}"]) == WARN, "without what journald takes away"
    assert log.gist([MODEL + '{"broken', INFO]) == '{"broken'


def test_an_nvidia_smi_that_torchserve_cannot_read_is_named() -> None:
    told = log.gist(NO_NVIDIA_SMI)
    assert told.startswith("java.lang.AssertionError: Unexpected nvidia-smi response.")
    assert "run it to see why" in told


def test_gpus_that_are_no_numbers_are_explained() -> None:
    told = log.gist([NO_NVIDIA_SMI[0], 'Invalid configuration: For input string: "GPU-8f2a"', ""])
    assert "CUDA_VISIBLE_DEVICES, which must hold nothing but numbers" in told


def test_deaths_and_failed_loads_are_seen() -> None:
    died = "[DEBUG] W-9000 WorkerThread - thread interrupted or backend worker process died."
    assert log.deaths([INFO, died, *OF_A_WORKER, died]) == 2
    assert log.cannot_load([INFO, "[WARN ] W-9000 BatchAggregator - Load model failed: dive, error: x"])
    assert not log.cannot_load([INFO, died])
