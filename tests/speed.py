"""A measure of how fast this machine is at the moment, for limits of time that are ratios."""

import time


def python_s() -> float:
    """Processor seconds of this thread for 400,000 steps of plain Python, about 0.02 to 0.04."""
    began = time.thread_time()
    sum(number * number for number in range(400_000))
    return time.thread_time() - began
