"""What a drill breaks and mends, and the etcd in the sandbox."""
