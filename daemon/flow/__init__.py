"""How what is captured reaches fusion: live, where nothing may wait, or in order, where nothing may be lost."""
