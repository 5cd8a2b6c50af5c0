# SPDX-License-Identifier: Apache-2.0
"""What processes have used of the processors."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from kadeploy.lab import processors

# Computes for a fifth of a second in a child that is waited for, then says so and sleeps.
PARENT = """
import subprocess, sys, time
code = "import time\\nwhile time.process_time() < 0.2: pass"
subprocess.run([sys.executable, "-c", code], check=True)
print("done", flush=True)
time.sleep(60)
"""


def test_children_that_were_waited_for_count() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"done\n"
        assert processors.used([process.pid]) > 0.15, "counted in ticks"
        process.kill()
    assert processors.used([process.pid]) == 0, "it has ended"


def test_several_processes_are_added_up() -> None:
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    once = processors.used([os.getpid()])
    assert 0 < once <= processors.used([os.getpid(), os.getpid()]) / 1.9
