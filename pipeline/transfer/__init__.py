"""What leaves an index and comes back: exports, backups, other indexes."""
