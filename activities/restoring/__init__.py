"""What is done at nodes and members to bring a cluster or one of its members back."""
