"""The training archive: radar files of years to one Zarr store by the MLCast source-data specification."""
