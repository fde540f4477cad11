"""The version 1 gateway's pure parts, and the runtime's, judged without a deployment."""
