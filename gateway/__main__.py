"""The process `sealgate`; also `python -m gateway`."""

from gateway.loading import loading

with loading():
    from gateway.cli import main

if __name__ == "__main__":
    main()
