"""Errors that a user of the lab reads: what failed, on what, why, and what to try."""


class LabError(Exception):
    """Printed as one message without a traceback; the exit code of scripts/lab is 1."""

    def __init__(self, what, try_this=None):
        super().__init__(what if try_this is None else f"{what}\n  try: {try_this}")
