"""What importing the interfaces costs."""

import subprocess
import sys


def test_neither_ray_nor_torch_is_imported() -> None:
    loaded = "sorted({'ray', 'torch'} & set(sys.modules))"
    code = f"import sys, hmarl.envs; print({loaded}, hmarl.envs.RoleVectorEnv.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] RoleVectorEnv"
