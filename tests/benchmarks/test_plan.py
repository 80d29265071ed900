"""The comparison with a real GPU refuses to run without one."""

from __future__ import annotations

import pytest
import torch

from benchmarks import plan


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        plan.main([])
    assert end.value.code == 2
    assert "a GPU is needed, and this machine has none" in capsys.readouterr().err
