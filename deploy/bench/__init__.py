"""What Quorate costs, beside a shell script: `make bench`."""
