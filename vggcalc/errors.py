"""Every error that a user can cause. Each message is one line: the culprit, and what would be right."""


class VggcalcError(Exception):
    """What the command line prints in one line, with exit status 2."""


class InputError(VggcalcError, ValueError):
    """What was given is no network, option value or document that can be used."""


class FeatureMapTooSmall(InputError):
    """A convolution or pooling met a feature map smaller than its window."""


class OutputError(VggcalcError):
    """A file cannot be written; the message names it and says why."""


class WorkerError(VggcalcError):
    """A worker process did not do its job; the message says why."""
