"""The standards of the Open Geospatial Consortium: EDR and WMS."""
