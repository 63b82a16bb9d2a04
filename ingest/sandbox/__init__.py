"""Decoding of foreign bytes in a process with limits on time and memory."""
