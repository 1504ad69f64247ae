"""Slow links: passes datagrams between clients and servers, each server behind a link of its own with a rate, a delay and a
queue. A process of its own, so that it does not wait for what the trial does.

    python3 links.py MBIT DELAY_MS FRONT:BACK...

FRONT is the port on 127.0.0.1 that clients send to, BACK the server's. Only what servers send is slowed down; a datagram
that finds the queue full is dropped. A server that is gone is silent: no refusal reaches the client.
"""

import collections
import selectors
import socket
import sys
import time

# Room of a link's queue, in seconds of its rate.
QUEUE_SECONDS = 0.05
# A client that was silent for so long has no way back any more.
FORGET_SECONDS = 120
# Datagrams that are taken from one socket before the next one's turn.
BATCH = 64
LARGEST = 65_535
BUFFER = 4 << 20


def bound(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", port))
    return sock


class Link:
    """The link of one server."""

    def __init__(self, selector, front, back, bytes_per_second, delay):
        self.selector, self.server = selector, ("127.0.0.1", back)
        self.rate, self.delay = bytes_per_second, delay
        self.front = bound(front)
        self.selector.register(self.front, selectors.EVENT_READ, self.from_client)
        # The socket towards the server of each client, and when it was used last.
        self.backs = {}
        # (when, datagram, client), in order.
        self.waiting = collections.deque()
        self.free_at = 0.0

    def from_client(self, front, now):
        for _ in range(BATCH):
            try:
                datagram, client = front.recvfrom(LARGEST)
            except BlockingIOError:
                return
            except OSError:
                continue
            if client not in self.backs:
                self.open(client)
            back = self.backs[client][0]
            self.backs[client] = (back, now)
            try:
                back.send(datagram)
            except OSError:
                pass  # The server is gone, or slow: the datagram is lost.

    def open(self, client):
        back = bound(0)
        back.connect(self.server)
        self.backs[client] = (back, 0.0)
        read = lambda sock, now: self.from_server(sock, now, client)
        self.selector.register(back, selectors.EVENT_READ, read)

    def from_server(self, back, now, client):
        for _ in range(BATCH):
            try:
                datagram = back.recv(LARGEST)
            except BlockingIOError:
                return
            except OSError:
                continue  # A refusal, told once.
            if self.free_at - now > QUEUE_SECONDS:
                continue
            self.free_at = max(now, self.free_at) + len(datagram) / self.rate
            self.waiting.append((self.free_at + self.delay, datagram, client))

    def deliver(self, now):
        while self.waiting and self.waiting[0][0] <= now:
            _, datagram, client = self.waiting.popleft()
            try:
                self.front.sendto(datagram, client)
            except OSError:
                pass

    def forget(self, now):
        for client, (back, used) in list(self.backs.items()):
            if now - used > FORGET_SECONDS:
                self.selector.unregister(back)
                back.close()
                del self.backs[client]


def main(mbit, delay_ms, *pairs):
    selector = selectors.DefaultSelector()
    rate, delay = float(mbit) * 1e6 / 8, float(delay_ms) / 1000
    links = [Link(selector, *map(int, pair.split(":")), rate, delay) for pair in pairs]
    print("ready", flush=True)
    swept = time.monotonic()
    while True:
        now = time.monotonic()
        due = [link.waiting[0][0] for link in links if link.waiting]
        timeout = max(0.0, min(due) - now) if due else 1.0
        events = selector.select(timeout)
        now = time.monotonic()
        for key, _ in events:
            key.data(key.fileobj, now)
        for link in links:
            link.deliver(now)
        if now - swept > 10:
            swept = now
            for link in links:
                link.forget(now)


if __name__ == "__main__":
    main(*sys.argv[1:])
