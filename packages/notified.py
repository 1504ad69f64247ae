"""Whether `kwik serve` tells systemd when it is ready and when it stops, in the right order. usage: notified.py PROGRAM"""

import os
import signal
import socket
import subprocess
import sys
import tempfile

program = sys.argv[1]
with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "notify")
    os.mkdir(os.path.join(directory, "root"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(path)
        told.settimeout(60)
        server = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--root", "root", "--state", "state"],
            cwd=directory, env={"NOTIFY_SOCKET": path, "HOME": directory}, stdout=subprocess.DEVNULL,
        )
        try:
            ready = told.recv(4096).decode()
            server.send_signal(signal.SIGTERM)
            stopping = told.recv(4096).decode()
            code = server.wait(60)
        finally:
            server.kill()
            server.wait()
lines = (ready.splitlines()[0], stopping.splitlines()[0], code)
print(*lines)
sys.exit(0 if lines == ("READY=1", "STOPPING=1", 0) else 1)
