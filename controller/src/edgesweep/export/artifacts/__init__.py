"""Artifacts as bytes: one canonical form, digests, what a file says of itself, blobs and the cache of results."""
