"""The training archive: years of radar files as one Zarr store by the MLCast source-data specification."""
