"""The service beside the least that the same work can cost: `make bench`. `README.md` says how to read the figures."""
