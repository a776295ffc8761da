"""A child for the tests of `worker.child_process`: says where it is, starts a grandchild, and does as it is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from worker.control_channel import FINISH, LEAVE, ChildEnd

if __name__ == "__main__":
    line = ChildEnd()
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    note = Path(sys.argv[1])
    note.with_suffix(".new").write_text(
        json.dumps({"pids": [os.getpid(), grandchild.pid], "environment": dict(os.environ)})
    )
    note.with_suffix(".new").rename(note)
    while line.request is None:
        time.sleep(0.01)
    line.say({"code": {LEAVE: "leaves", FINISH: "finishes"}[line.request]})
    sys.exit(75)
