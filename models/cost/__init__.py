"""What a model costs: the equations of the paper beside what is measured."""
