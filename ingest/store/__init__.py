"""The live store: scan files, their catalogue, retention, locks and ready windows."""
