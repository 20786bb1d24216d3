#!/usr/bin/env python3
"""A small client of vdrived, written from Protocol/ alone:  client.py METHOD [NAME=JSON ...]"""
import json
import os
import socket
import sys


class Failure(Exception):
    """The daemon's error; its .kind is the word of Protocol/errors.md."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.code, self.kind = error["code"], error.get("data", {}).get("kind")


class Client:
    def __init__(self, path=None):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path or os.environ.get("VDRIVE_SOCKET") or "/run/vdrive.sock")
        self.lines = self.socket.makefile("rwb")
        self.last_id = 0

    def call(self, method, **params):
        self.last_id += 1
        call = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}
        self.lines.write(json.dumps(call).encode() + b"\n")
        self.lines.flush()
        for answer in map(json.loads, self.lines):
            if "error" in answer and answer["id"] in (None, self.last_id):
                raise Failure(answer["error"])
            if answer.get("id") == self.last_id:
                return answer["result"]
        raise ConnectionError("the daemon ended the connection")


if __name__ == "__main__":
    options = {name: json.loads(value) for name, _, value in (word.partition("=") for word in sys.argv[2:])}
    print(json.dumps(Client().call(sys.argv[1], **options)))
