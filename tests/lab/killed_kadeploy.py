# SPDX-License-Identifier: Apache-2.0
"""A kadeploy that is killed when a micro-step has done its work and nothing is written down of that.

    python killed_kadeploy.py INSTANCE:STEP KADEPLOY_ARGUMENT...

No instant is worse: what was done to the node is known to nobody. The micro-steps that were begun are in the
file ``steps``, one a line. With ``-`` for INSTANCE:STEP it is not killed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from kadeploy.cli import kadeploy
from kadeploy.operations.run.executor import StepExecutor
from kadeploy.workflow.driver import Report
from kadeploy.workflow.effects import Run
from kadeploy.workflow.failure import Failure


def main(fatal: str) -> None:
    """Run kadeploy with an executor that writes down what it begins, and dies."""
    execute = StepExecutor.__call__

    async def execute_and_die(executor: StepExecutor, run: Run, report: Report) -> None:
        recipes = executor._recipes
        instance = list(recipes.macrosteps.values())[run.position.macro][run.position.instance].name
        place = f"{instance}:{recipes.step(run.position).name}"
        with Path("steps").open("a") as steps:
            steps.write(f"{place}\n")
        if place != fatal:
            await execute(executor, run, report)
            return

        def report_failures(node: str, failure: Failure | None) -> None:
            if failure is not None:
                report(node, failure)

        await execute(executor, run, report_failures)
        os.kill(os.getpid(), signal.SIGKILL)

    StepExecutor.__call__ = execute_and_die  # type: ignore[method-assign,assignment]
    kadeploy.main()


if __name__ == "__main__":
    where = sys.argv.pop(1)
    main(where)
