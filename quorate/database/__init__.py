"""What etcd's own files hold: pages, records and logs, read as bytes pass."""
