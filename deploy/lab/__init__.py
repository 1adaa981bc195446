"""The lab: real etcd clusters and control planes, made of package registries alone."""
