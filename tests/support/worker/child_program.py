"""A child for tests.

Writes its pid to a note, starts a grandchild, and follows requests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from worker.control_channel import FINISH, LEAVE, ChildEnd

if __name__ == "__main__":
    channel = ChildEnd()
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    note = Path(sys.argv[1])
    note.with_suffix(".new").write_text(
        json.dumps({"pids": [os.getpid(), grandchild.pid], "environment": dict(os.environ)})
    )
    note.with_suffix(".new").rename(note)
    while channel.request is None:
        time.sleep(0.01)
    channel.send_error({"code": {LEAVE: "leaves", FINISH: "finishes"}[channel.request]})
    sys.exit(75)
