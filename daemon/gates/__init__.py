"""Gates: whether enough happens in picture and sound for their encoders to run. Pure rules, by captured times alone."""
