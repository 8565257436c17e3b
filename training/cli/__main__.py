"""`python -m proveout.training.cli` is `proveout`, and what torchrun starts as each rank."""

import os
import sys
import warnings

from proveout.training.cli.program import main

if __name__ == "__main__":
    if int(os.environ.get("LOCAL_RANK", "0")) > 0:
        # Help and warnings are the same on all ranks.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        warnings.simplefilter("ignore")
    sys.exit(main())
