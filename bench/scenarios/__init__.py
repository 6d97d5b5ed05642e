"""One file a scenario; run(bench) measures it."""
