"""A receiver of webhooks: checks the signature, drops repeats, answers 204. `webhook_receiver.py HOST:PORT SECRET`."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

seen: set[str] = set()  # of a real receiver: a unique column, in the transaction of what it does with the event


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = Webhook(sys.argv[2]).verify(body, dict(self.headers))
        except WebhookVerificationError as error:
            self.send_error(401, str(error))
            return
        if event["id"] not in seen:
            seen.add(event["id"])
            sys.stdout.write(f"{event['type']} {event['subject']} {event['data']}\n")
            sys.stdout.flush()
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what arrives is printed above."""


host, _, port = sys.argv[1].partition(":")
HTTPServer((host, int(port)), Receiver).serve_forever()
