"""Whether a process is still at work."""

import psutil


def lives(pid: int) -> bool:
    """Return whether there is such a process, and not only its exit status."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
