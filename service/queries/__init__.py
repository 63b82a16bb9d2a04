"""What a forecast says for places, boxes, polygons and maps."""
