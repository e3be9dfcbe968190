"""The same networks in other packages: their outputs are compared, then their times."""
