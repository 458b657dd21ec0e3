"""The image, built and started without a container engine: `python -m tests.image` (as root, on Debian).

Dockerfile and .dockerignore are read and obeyed in a Debian made by debootstrap, which is what `debian:bookworm-slim`
is made of too, without its manual pages. An instruction that is not known here ends the proof.
"""
