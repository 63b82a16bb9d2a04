"""The web page: pictures of the newest forecast, its age and its scores."""
