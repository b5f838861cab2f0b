"""What the service and `fit` must withstand, measured: `make torture`."""
