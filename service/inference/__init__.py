"""Models on devices: versions and aliases, inputs on a model's grid, and the one thread that runs models."""
