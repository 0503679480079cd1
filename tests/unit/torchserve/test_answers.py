"""What TorchServe answers that no model wrote: an attempt that failed, never a bug of ours."""

import httpx
import pytest

from springboard.front.workermetrics import merge
from springboard.torchserve.client import HandlerRaised, _read_answer


@pytest.mark.parametrize("body", [b"", b"<html>hello</html>", b"[1]", b"61", b"null", b"\xff\xfe"])
def test_a_200_that_is_no_object_is_a_failed_attempt(body: bytes) -> None:
    with pytest.raises(HandlerRaised, match="no JSON object"):
        _read_answer(httpx.Response(200, content=body))


def test_comments_between_metrics_are_left_out() -> None:
    text = '#\n# hello\n#hello there\n# HELP a what it is\n# TYPE a gauge\na 1\n# EOF\na{b="c"} 2\n'
    merged = merge([(("stable", "1.0.0"), text)])
    labels = 'variant="stable",release="1.0.0"'
    assert merged == f'# HELP a what it is\n# TYPE a gauge\na{{{labels}}} 1\na{{{labels},b="c"}} 2\n'
