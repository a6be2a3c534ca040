"""What a user of the server does on their own side: an offline training pipeline and the clusters they register."""
