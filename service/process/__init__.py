"""The processes of the service: supervisor and embedded broker."""
