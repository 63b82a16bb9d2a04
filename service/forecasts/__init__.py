"""What a forecast is, and how it is made, kept, scored and exported."""
