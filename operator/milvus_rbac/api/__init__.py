"""The API groups that the operator serves."""
