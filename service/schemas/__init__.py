"""The documents of the REST interface, shared by the API and the client."""
