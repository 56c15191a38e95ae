"""Where pages are kept: the protocol of a store, and the SQLite one."""
