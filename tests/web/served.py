"""`python -m tests.web.served RUN IMAGES PORT PATIENCE`: a run's pages, as a process of its own."""

import sys
from pathlib import Path

from clipcache.desk import Desk
from clipcache.images.folder import Folder
from clipcache.photos import Photos
from clipcache.run import Run
from clipcache.web import connection
from clipcache.web.app import make_app
from clipcache.web.security import hosts_of
from clipcache.web.server import address_of, listen, serve
from clipcache.web.token import read_token


def main(folder: Path, images: Path, port: int, patience: float) -> None:
    connection.PATIENCE = patience
    run = Run.open(folder)
    token = read_token(run.folder)
    desk = Desk(run)
    photos = Photos(Folder(images), run.cache.keys())
    app = make_app(desk, photos, token=token, hosts=hosts_of("127.0.0.1"), title="drawn")
    listening = listen("127.0.0.1", port)
    address = address_of(listening, token)
    serve(app, listening, on_ready=lambda: print(address, flush=True))  # noqa: T201
    desk.close()
    print("closed", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
