"""The drill: the service as it runs in production, under load, while everything around it fails in turn.

`make drill` runs it, `make soak` lets the same load run for ten minutes; README.md says what is looked at.
"""
