"""Serves forecasts: the use case, its products, the scheduled tasks and the REST interface."""
