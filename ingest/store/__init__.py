"""The live store: files, their catalogue, retention, locks and ready windows."""
