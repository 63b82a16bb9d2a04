"""Tables and figures of the paper, made from training runs."""
