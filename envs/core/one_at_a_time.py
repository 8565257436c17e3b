"""The lock that whoever makes or uses worlds in this process holds."""

from __future__ import annotations

import os
import threading

# One thread at a time makes or uses worlds: Warp compiles kernels into modules that the whole
# process shares and records what is allocated meanwhile, MuJoCo Warp's CPU kernels use one arena
# of scratch memory, and Python's collector is switched for all threads.
ONE_AT_A_TIME = threading.RLock()
if hasattr(os, "register_at_fork"):
    # No child is forked while another thread, which it does not have, holds the lock.
    os.register_at_fork(
        before=ONE_AT_A_TIME.acquire,
        after_in_parent=ONE_AT_A_TIME.release,
        after_in_child=ONE_AT_A_TIME.release,
    )
