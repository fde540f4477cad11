"""`python -m seldon_v1 start FOLDER`: MLServer, with the page of its models' own metrics beside it.

The page is there before the first model, so that whoever watches it knows it for up, and belongs to the main process,
so that it shows the metrics of all workers.
"""

from . import page


def main() -> None:
    page.open_page()
    from mlserver.cli import main as mlserver

    mlserver()


# Worker processes import this module again under another name.
if __name__ == "__main__":
    main()
