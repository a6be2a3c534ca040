"""The market: its protocol through real boto3 clients, its statistics, its purity."""
