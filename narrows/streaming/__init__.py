"""Packets over a network: wire format, jitter buffer, clocks, loss, live sessions. Knows no codec.

`wire` turns packets into datagrams and back. `Sender` and `Receiver` (live.py) hold what a stream needs
on each side and are fed datagrams and the time; `udp` runs them over sockets. Nothing reads a clock by
itself, so that an hour of network can be tested in a second.
"""
