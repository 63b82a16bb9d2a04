"""The REST interface: one router per resource; each parses, asks the `NowcastService` and answers."""
