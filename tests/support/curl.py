"""As much of curl as the README uses, for machines without it: -s -X -H -d -G --data-urlencode -u -w and a URL."""

import argparse
import sys

import httpx


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-X", default=None)
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d", default=None)
    parser.add_argument("-G", action="store_true")  # what is given by --data-urlencode goes into the query
    parser.add_argument("--data-urlencode", action="append", default=[])
    parser.add_argument("-u", default=None)
    parser.add_argument("-w", default="")
    given = parser.parse_args()
    named = (header.partition(":") for header in given.H)
    headers = {name: value.strip() for name, _, value in named if value.strip()}  # curl leaves empty ones out
    if given.d is not None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} | headers
    name, _, password = (given.u or "").partition(":")
    method = given.X or ("GET" if given.d is None else "POST")
    answer = httpx.request(
        method,
        given.url,
        params=[tuple(one.split("=", 1)) for one in given.data_urlencode] if given.G else None,
        headers=headers,
        content=given.d,
        auth=(name, password) if given.u else None,
        timeout=30,
    )
    tail = given.w.replace("\\n", "\n").replace("%{http_code}", str(answer.status_code))
    sys.stdout.write(answer.text + tail.replace("%header{etag}", answer.headers.get("etag", "")))


if __name__ == "__main__":
    main()
