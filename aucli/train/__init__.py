"""Training: one loop for every network, on rendered faces and on datasets a user licensed."""
