"""The queue's side: when tasks are given out, what they are about, and what is found again when it is lost."""
