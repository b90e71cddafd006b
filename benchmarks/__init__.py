"""Speed, memory and scheduling, each as a ratio within one run."""
