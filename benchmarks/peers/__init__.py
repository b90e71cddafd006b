"""Tools that people use today, each run in an environment of its own as its documentation says; see benchmarks.race."""
