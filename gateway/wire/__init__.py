"""Codecs: bytes on the wire <-> bodies, passages and stream events. Nothing here does I/O."""
