"""What lies in a store: manifests, marks, bundles, tools, and which of it may go."""
