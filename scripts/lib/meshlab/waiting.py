"""The one way in which Python code of this project waits for something."""

import time


def wait_until(condition, timeout_s, late, interval_s=0.02):
    """Calls condition() until it returns something true, and returns that. When the time is up it raises late(): an
    error that says what did not happen. What condition() raises ends the waiting."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise late()
        time.sleep(interval_s)
    return found
