"""The engine: jobs handed to workers of dask.distributed, of this machine or of others."""
