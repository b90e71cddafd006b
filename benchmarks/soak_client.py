"""The process of `benchmarks.soak` that drives runs: told where to, one after the other, on standard input."""

from __future__ import annotations

import json
import signal
import sys

import scalesr
from scalesr.engine.executors import Cluster
from scalesr.errors import InterruptedRunError, ScalesrError


def main() -> None:
    """Run what each line asks for, ``[target, mode]``, and answer in one line.

    An order to end is taken as the command line takes it.
    """
    address, source, options = sys.argv[1:]
    # Where all workers are gone when a run begins, it waits for one.
    scheduler = Cluster(where=address, workers=(1, 1))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for line in sys.stdin:
            target, mode = json.loads(line)
            try:
                result = scalesr.run(source, target, scheduler=scheduler, mode=mode, **json.loads(options))
            except InterruptedRunError:
                raise KeyboardInterrupt from None
            except ScalesrError as error:
                print(json.dumps({"error": str(error), "code": error.exit_code}), flush=True)
            else:
                print(json.dumps({"blocks": result.blocks, "retries": result.traffic.retries}), flush=True)
    except KeyboardInterrupt:
        print(json.dumps({"error": "told to end", "code": InterruptedRunError.exit_code}), flush=True)


if __name__ == "__main__":
    main()
