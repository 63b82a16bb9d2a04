"""From a request or a scan to fields: models by name and alias, one thread that runs them, and decoding of uploads."""
