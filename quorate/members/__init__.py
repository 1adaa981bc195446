"""What members of etcd say of themselves and of one another."""
