"""Model versions: taken in safely, kept, loaded as scorers, lent to requests."""
