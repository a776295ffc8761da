"""Models and their training, without database, HTTP or queue; torch only in `ml.learning`."""

import os

# ONNX Runtime sends telemetry and writes files for it into the home folder unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
