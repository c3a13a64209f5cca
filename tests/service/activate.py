"""Stands for a service manager with socket activation: listens once, and runs a command on the socket
again and again.

    activate.py STARTS COMMAND [ARGUMENT...]

Prints `port N`, then for each start `pid N`, and `exit N` when the command has ended. The socket is
descriptor 3 of the command (sd_listen_fds(3)) and stays open between two starts.
"""

import ctypes
import os
import signal
import socket
import sys

LISTEN_FD = 3
PR_SET_PDEATHSIG = 1


def become(listener, command):
    # Nobody outlives a test that was broken off.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if listener.fileno() == LISTEN_FD:
        os.set_inheritable(LISTEN_FD, True)
    else:
        os.dup2(listener.fileno(), LISTEN_FD)
    environment = dict(os.environ, LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
    os.execvpe(command[0], command, environment)


def main():
    starts, command = int(sys.argv[1]), sys.argv[2:]
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(65535)
    print("port", listener.getsockname()[1], flush=True)
    for _ in range(starts):
        child = os.fork()
        if child == 0:
            become(listener, command)
        print("pid", child, flush=True)
        _, status = os.waitpid(child, 0)
        print("exit", os.waitstatus_to_exitcode(status), flush=True)


main()
