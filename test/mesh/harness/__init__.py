"""The real control plane on one machine: see ../README.md."""
