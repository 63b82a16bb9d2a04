"""Recurrent cells, the stack that makes them multi-scale, and forecasters that take and give mm/h."""
