"""Every error that clipcache raises on purpose.

A message says what was found, what was expected and what to do, in one line: the command line
prints it as it is and exits 1. Anything else that escapes is a bug of ours.
"""


class ClipcacheError(Exception):
    """The root of the tree; catch it to catch everything below."""


class SourceError(ClipcacheError):
    """The place where images should come from cannot be used as it is.

    No ValueError: whoever takes one for a fault of a single file would hide that all are out of
    reach.
    """


class ImageError(ClipcacheError, ValueError):
    """One image cannot be used; its message is stored as the reason and the others go on."""


class EncoderError(ClipcacheError, RuntimeError):
    """The encoder cannot be made: an unknown model, or weights that cannot be reached."""


class NoTextError(EncoderError):
    """The encoder takes in images only, and words were given."""


class CacheError(ClipcacheError, RuntimeError):
    """The cache cannot be used for what was asked."""


class CacheMissingError(CacheError):
    """There is no cache at this path."""


class CacheIdentityError(CacheError):
    """The cache was made by another encoder."""


class CacheFormatError(CacheError):
    """The cache is of a format that this version does not know."""


class CacheDamagedError(CacheError):
    """Bytes on disk are missing or not the ones that were written."""


class CacheLockedError(CacheError):
    """Another process is writing this cache."""


class DeviceError(ClipcacheError, RuntimeError):
    """The device that was asked for is not there, or cannot do this."""


class RunError(ClipcacheError, RuntimeError):
    """The run cannot be started or continued as asked."""


class EngineError(ClipcacheError, RuntimeError):
    """Workers on this machine or another one cannot do what they are there for."""


class LabelStudioError(ClipcacheError, RuntimeError):
    """A Label Studio cannot be reached, refuses, or has not what was expected of it."""


class ArrayError(ClipcacheError, ValueError):
    """An array at a public door has the wrong shape, type or content."""


class UnknownNameError(ClipcacheError, ValueError):
    """No plug-in has this name."""
