"""The peak of this process's memory."""

import sys
from pathlib import Path


def forget_peak() -> float:
    """Let the peak of memory start anew where the system can do that; return it, in MB."""
    forget = Path("/proc/self/clear_refs")
    if forget.exists():
        forget.write_text("5")
    return peak_mb()


def peak_mb() -> float:
    """Return the largest memory that this process ever had, or since `forget_peak`, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # unlike getrusage, this can be reset
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
