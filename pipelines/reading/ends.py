"""How the names of the files end that readers look for."""

ENDS = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet", ".npy", ".npz", ".h5", ".hdf5", ".tar", ".token")
