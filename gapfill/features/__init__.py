"""The registry of features and the one computation behind training, filling, ticking and predicting."""
