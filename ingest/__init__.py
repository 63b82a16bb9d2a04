"""From radar files to clean frames: read, check, regrid, window, store."""
