"""The whole system as plain processes of one machine, installed from Python packages and kept up by supervisord."""
