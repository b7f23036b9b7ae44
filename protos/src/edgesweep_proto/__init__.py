"""The wire contract of Edgesweep: generated messages in `v1`, domain types beside it."""

__version__ = "0.1.0"

#: Raised when a change breaks older peers; both sides refuse another number.
PROTOCOL_VERSION = 1
