"""What a model is and how it learns. No database, no HTTP, no queue; torch only in `ml.learning`."""

import os

# ONNX Runtime reports to its maker and keeps files about it in the home folder, unless told not to before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
