"""Readers of radar files: one module per format, detected from the file's content."""

from ingest.readers import cf_netcdf as cf_netcdf
from ingest.readers import cf_zarr as cf_zarr
from ingest.readers import knmi_hdf5 as knmi_hdf5
from ingest.readers import odim_h5 as odim_h5
from ingest.readers import radolan_ascii as radolan_ascii
from ingest.readers import radolan_binary as radolan_binary
from ingest.readers.base import READERS, Reader
from ingest.readers.read import read_frames

__all__ = ["READERS", "Reader", "read_frames"]
