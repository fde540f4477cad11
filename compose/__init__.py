"""What a deployment needs beside the services' code."""
