"""The window of frames that a forecast starts from, and regridding."""
