"""Why: whatever speaks to Grafana is tested against one that answers over HTTP as the real one does.

As much of its API as we use, in a thread of this process. It can fail, refuse, or carry out what it
is asked and never answer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gameday.spec.catalogue import default_directory

TOKEN = "token-of-the-service-account"
EDITOR = {
    "annotations:read": ["annotations:type:*"],
    "annotations:create": ["annotations:*"],
    "annotations:write": ["annotations:*"],
}
OF_DASHBOARDS = ["annotations:type:dashboard"]
VIEWER = EDITOR | {"annotations:create": OF_DASHBOARDS, "annotations:write": OF_DASHBOARDS}


class GrafanaServer:
    """A Grafana for the owner of ``TOKEN``."""

    def __init__(self) -> None:
        """Well, and with nothing in it."""
        self.url = ""
        self.dashboards: set[str] = set()
        self.permissions: dict[str, list[str]] | None = dict(EDITOR)
        self.annotations: list[dict[str, Any]] = []
        self.changes: list[tuple[str, dict[str, Any]]] = []
        # Answer each request with this instead.
        self.status: int | None = None
        # Carry out what is asked, and never answer.
        self.mute = False
        self.closed = threading.Event()

    def answer(self, method: str, path: str, body: Any, token: str) -> tuple[int, Any]:
        """What a request is answered."""
        if self.status is not None:
            return self.status, {"message": "as told"}
        if path == "/api/health":
            return 200, {"version": "12.1.0"}
        if token != f"Bearer {TOKEN}":
            return 401, {"message": "Unauthorized"}
        parts = urlsplit(path)
        name = parts.path.rpartition("/")[2]
        if parts.path.startswith("/api/annotations"):
            return self._annotations(method, name, body, parse_qs(parts.query).get("tags", []))
        return self._read(parts.path, name)

    def _read(self, path: str, name: str) -> tuple[int, Any]:
        if path.startswith("/api/dashboards/uid/") and name in self.dashboards:
            return 200, {"dashboard": {"title": f"The {name}"}}
        if path == "/api/access-control/user/permissions" and self.permissions is not None:
            return 200, self.permissions
        return 404, {"message": "Not found"}

    def _annotations(self, method: str, name: str, body: Any, tags: list[str]) -> tuple[int, Any]:
        if method == "GET":
            return 200, [one for one in self.annotations if set(tags) <= set(one["tags"])]
        self.changes.append((method, body))
        if method == "POST":
            if len(json.dumps(body["tags"], separators=(",", ":"))) > 500:
                return 400, {"message": "tags length exceeds the maximum allowed"}
            # One that has no end ends when it begins.
            self.annotations.append({"id": len(self.annotations) + 1, "timeEnd": body["time"], **body})
            return 200, {"message": "Annotation added", "id": len(self.annotations)}
        for one in self.annotations:
            if str(one["id"]) == name:
                one.update(body)
                return 200, {"message": "Annotation patched"}
        return 404, {"message": "Annotation not found"}


@contextmanager
def serving() -> Iterator[GrafanaServer]:
    """A Grafana on a free port of 127.0.0.1."""
    grafana = GrafanaServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._handle()

        def do_POST(self) -> None:
            self._handle()

        def do_PATCH(self) -> None:
            self._handle()

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, content = grafana.answer(
                self.command, self.path, body, self.headers.get("Authorization", "")
            )
            if grafana.mute:
                grafana.closed.wait()
                return
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    grafana.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield grafana
    finally:
        grafana.closed.set()
        server.shutdown()
        thread.join()
        server.server_close()


def catalogue_with(grafana: GrafanaServer, directory: Path) -> Path:
    """The catalogue that comes along, in ``directory``, whose platform has its dashboards there."""
    directory.mkdir(parents=True, exist_ok=True)
    for file in default_directory().glob("*"):
        text = file.read_text(encoding="utf-8").replace("http://localhost:3000", grafana.url)
        (directory / file.name).write_text(text, encoding="utf-8")
    return directory
