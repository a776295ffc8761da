from pathlib import Path

import pytest

from tools.behavior.checkout import Checkout, metric_names

EXPOSITION = """# HELP plinth_seconds Time.
# TYPE plinth_seconds histogram
plinth_seconds_bucket{le="0.1",model="a"} 1.0
plinth_seconds_count{model="a"} 1.0
# HELP plinth_loads_total Loads.
# TYPE plinth_loads_total counter
plinth_loads_total{model="a,b\\"c"} 1.0
# TYPE plinth_loads_created gauge
plinth_loads_created{model="a"} 1.7
# TYPE plinth_models gauge
plinth_models 0.0
"""


def test_metrics_are_named_with_their_type_and_labels() -> None:
    assert metric_names(EXPOSITION) == {
        "plinth_seconds": {"type": "histogram", "labels": ["le", "model"]},
        "plinth_loads": {"type": "counter", "labels": ["model"]},
        "plinth_models": {"type": "gauge", "labels": []},
    }


@pytest.mark.process
def test_the_api_process_of_a_checkout_is_started_and_measured() -> None:
    start = Checkout(Path(__file__).parents[3]).start_api()
    assert 0 < start.wall_seconds < 60
    assert start.cpu_seconds > 0
    assert 20 < start.memory_mib < 1000
