"""What every scenario stands on: see ../README.md."""
