"""What `smoothcert predict` does once its flags are read: check every file, predict in parts, print or write."""
