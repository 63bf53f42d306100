"""Labels that a person teaches: examples, background of the place, the fit of their weights, and its report."""
