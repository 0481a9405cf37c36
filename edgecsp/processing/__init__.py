"""Preprocessing, decoding and NMS, shared by all engines."""
