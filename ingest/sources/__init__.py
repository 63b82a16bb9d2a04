"""Places that radar files come from: one file per kind."""
