"""Web process: time to ready, memory before and after a prediction, absence of torch.

python -m benchmarks.api_process
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from importlib.resources import files
from pathlib import Path

from benchmarks.record import figure, parse_args
from tests.support.api_process import MIB, ApiProcess

READY_AIM_SECONDS = 1.5
MEMORY_AIM_BYTES = 150 * MIB


def main() -> None:
    """Print a table, and report whether the aims were met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parse_args(parser)
    photo = files("sklearn").joinpath("datasets/images/flower.jpg").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        api = ApiProcess(Path(folder) / "home")
        with api:
            pass
        _register_a_model(api, Path(folder) / "package")
        times = []
        for _ in range(5):
            with api:
                times.append(api.ready_seconds)
                idle = api.rss_bytes()
                headers = {"Content-Type": "image/jpeg"}
                status, _, body = api.request("POST", "/predict/shades", headers=headers, body=photo)
                assert status == 200, body
                used, has_torch = api.rss_bytes(), "/torch/" in api.maps()
    ready = statistics.median(times)
    met = ready <= READY_AIM_SECONDS and used <= MEMORY_AIM_BYTES and not has_torch
    print(f"ready                    {ready:6.2f} s   (median of 5, aim {READY_AIM_SECONDS} s)")
    print(f"memory when ready        {idle / MIB:6.0f} MB")
    print(f"memory after prediction  {used / MIB:6.0f} MB  (aim {MEMORY_AIM_BYTES / MIB:.0f} MB)")
    print(f"torch in the process     {'yes' if has_torch else 'no'}")
    figure("ready", times, unit="s", aim=f"<= {READY_AIM_SECONDS}")
    figure("memory when ready", idle / MIB, unit="MB")
    figure("memory after a prediction", used / MIB, unit="MB", aim=f"<= {MEMORY_AIM_BYTES / MIB:.0f}")
    print(f"aims: {'met' if met else 'NOT met'}")


def _register_a_model(api: ApiProcess, folder: Path) -> None:
    """Register a model as a worker does at the end of a run."""
    os.environ.update(api.environment)
    # Only now: what is imported reads the environment.
    from tests.support.factories import register, shades

    register(shades(folder), name="shades")


if __name__ == "__main__":
    main()
