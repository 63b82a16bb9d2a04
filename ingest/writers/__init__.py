"""Writers of radar frames in the formats of other programs."""
