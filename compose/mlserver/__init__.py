"""What MLServer is given beside its own packages; the folder stands on its Python path."""
