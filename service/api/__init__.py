"""The REST interface: one router per resource; each parses a request, calls the `NowcastService` and responds."""
