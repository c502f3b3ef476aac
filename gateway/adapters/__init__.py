"""Implementations of the ports: what touches files, processes, sockets and clocks. Siblings do not import each other."""
