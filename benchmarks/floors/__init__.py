"""What the same work costs at the least: apps without the rules of the service, on the same database."""
