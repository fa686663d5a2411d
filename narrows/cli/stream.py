"""`narrows stream`: sound that is coded, sent, received and heard while it happens."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from narrows.cli import options
from narrows.cli.outcome import DONE, NO, report
from narrows.cli.terminal import Terminal, clock, plural, printable
from narrows.errors import OptionError, SignalError, StreamError

if TYPE_CHECKING:
    from narrows.streaming.sources import Source

NAME = "stream"
USAGE = "narrows stream encode | decode | send | receive | view"
SUMMARY = "code sound while it happens; send it, receive it, hear it"
EXAMPLES = """\
  arecord -t raw -f S16_LE -r 16000 | narrows stream encode --pcm s16le:16000:1 -o talk.nrws
  narrows stream decode talk.nrws | aplay            WAV on stdout
  tail -c +1 -f talk.nrws | narrows stream decode | aplay     while it is being written
  narrows stream receive --listen 5004 -o heard.wav
  narrows stream send talk.wav --to 127.0.0.1:5004 --kbps 8 --loss 0.05 --jitter-ms 40
  narrows stream send --mic --to 192.0.2.7:5004
  narrows stream view --listen 5004 --http 8080      a page that plays what arrives

Ctrl-C ends a stream as its end would: files are finished, exit code 0."""

_STATISTICS_EVERY_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `stream` takes."""
    commands = parser.add_subparsers(
        metavar="COMMAND", required=True, parser_class=type(parser), prog="narrows stream"
    )
    for name, summary, add, run_one in (
        ("encode", "sound on stdin or in a file to a .nrws that can be read while it grows", _encode, encode),
        ("decode", "a .nrws to WAV or raw samples, block by block", _decode, decode),
        ("send", "sound to packets over UDP", _send, send),
        ("receive", "packets over UDP to a file, stdout or the speaker", _receive, receive),
        ("view", "a web page that plays what arrives over UDP", _view, view),
    ):
        command = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False
        )
        add(command)
        options.add_talk(command, json=name in ("send", "receive", "view"))
        command.set_defaults(run_one=run_one)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Run one of the five."""
    try:
        return int(args.run_one(args, terminal))
    except (StreamError, SignalError) as error:
        return report(terminal, getattr(args, "input", None), error)


def _encode(parser: argparse.ArgumentParser) -> None:
    _add_source(parser)
    _add_codec(parser)
    parser.add_argument("--strip", action="store_true", help="leave out the tags of the input")
    _add_output(parser, "the .nrws; default stdout")


def _decode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", nargs="?", default="-", metavar="INPUT", help="a .nrws; default stdin")
    parser.add_argument("--partial", action="store_true", help="what is whole of a damaged or cut file")
    _add_output(parser, "WAV, or raw with --pcm; default stdout")
    _add_sample(parser)
    parser.add_argument("--speaker", action="store_true", help="play it")


def _send(parser: argparse.ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("--to", required=True, metavar="HOST:PORT", help="the receiver")
    parser.add_argument("--fast", action="store_true", help="a file as fast as it is coded, not in real time")
    codec = _add_codec(parser)
    codec.add_argument(
        "--redundancy", type=int, metavar="N", help="coarse copies of 1 or 2 packets before, in every packet"
    )
    group = parser.add_argument_group("simulated network")
    group.add_argument("--loss", type=float, default=0, metavar="P", help="share of datagrams lost: 0.05")
    group.add_argument("--burst", type=float, metavar="N", help="mean length of losses; default independent")
    group.add_argument("--delay-ms", type=float, default=0, metavar="MS", help="delay of every datagram")
    group.add_argument("--jitter-ms", type=float, default=0, metavar="MS", help="and up to so much more")
    group.add_argument("--duplicate", type=float, default=0, metavar="P", help="share that arrives twice")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="decides all of it")


def _receive(parser: argparse.ArgumentParser) -> None:
    _add_listen(parser)
    _add_output(parser, ".wav, .nrws, or - for stdout; further streams get their session's name added")
    _add_sample(parser)
    parser.add_argument("--speaker", action="store_true", help="play it")
    parser.add_argument("--keep-on", action="store_true", help="wait for more streams when one has ended")


def _view(parser: argparse.ArgumentParser) -> None:
    _add_listen(parser)
    parser.add_argument(
        "--http", default="127.0.0.1:8080", metavar="HOST:PORT", help="where the page is; default %(default)s"
    )


def _add_source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sound")
    group.add_argument("input", nargs="?", default="-", metavar="INPUT", help="WAV or other; default stdin")
    group.add_argument("--pcm", metavar="FORMAT:RATE:CHANNELS", help="raw samples: s16le:16000:1")
    group.add_argument("--mic", action="store_true", help="the microphone, 16 kHz mono unless --pcm says")


def _add_codec(parser: argparse.ArgumentParser) -> Any:
    group = parser.add_argument_group("codec")
    group.add_argument("--codec", metavar="NAME[:OPT=VAL,...]", help="default by rate and channels")
    group.add_argument("--kbps", type=float, metavar="X", help="rate; default the codec's")
    group.add_argument("-q", "--quality", type=float, metavar="N", help="0 to 100, instead of a rate")
    return group


def _add_output(parser: argparse.ArgumentParser, text: str) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("-o", "--output", metavar="PATH", help=text)
    group.add_argument("-f", "--force", action="store_true", help="overwrite")


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pcm", metavar="FORMAT", help="raw samples instead of WAV: s16le, s24le, f32le ...")


def _add_listen(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument(
        "--listen",
        required=True,
        metavar="[HOST:]PORT",
        help="where packets arrive; from this machine only unless HOST is 0.0.0.0 or so",
    )
    group.add_argument("--idle-s", type=float, default=5, metavar="S", help="end after silence; default 5")
    group.add_argument("--min-delay-ms", type=float, default=0, metavar="MS", help="least jitter delay")
    group.add_argument("--max-delay-ms", type=float, default=1000, metavar="MS", help="largest jitter delay")


def encode(args: argparse.Namespace, terminal: Terminal) -> int:
    """Code sound into a file that can be read while it grows."""
    from narrows.streaming.recording import record

    path = _to(args, binary=True)
    if os.path.exists(path) and os.path.exists(args.input) and os.path.samefile(path, args.input):
        raise OptionError(f"{path} is both input and output")
    source = _source(args)
    with _first_interrupt() as stop:
        tags = {} if args.strip else source.tags
        num_samples, num_bytes = record(
            source.blocks, _encoder(args, source), path, tags=tags, force=args.force, stop=stop.is_set
        )
    seconds = num_samples / source.sample_rate_hz
    if path != "-":
        rate = f"{8e-3 * num_bytes / seconds:.2f} kbit/s" if seconds else ""
        terminal.note(f"{printable(path)}  {clock(seconds)}  {plural(num_bytes, 'byte')}  {rate}".rstrip())
    return DONE


def decode(args: argparse.Namespace, terminal: Terminal) -> int:
    """Decode a stream block by block."""
    from narrows.streaming.recording import Replay
    from narrows.streaming.sinks import replay

    if args.speaker and (args.output is not None or args.pcm):
        raise OptionError(
            f"--speaker and {'-o' if args.output is not None else '--pcm'} say two things: give one"
        )
    path = None if args.speaker else _to(args, binary=True)
    file = sys.stdin.buffer if args.input == "-" else open(args.input, "rb")  # noqa: SIM115
    with contextlib.nullcontext() if args.input == "-" else file, _first_interrupt() as stop:
        source = Replay(file, partial=args.partial)
        num_samples = replay(source, path, sample=args.pcm, force=args.force, stop=stop.is_set)
    for error in source.damage:
        terminal.warn(f"{printable(args.input)}: {printable(str(error))}")
    if path not in (None, "-"):
        terminal.note(f"{printable(str(path))}  {clock(num_samples / source.header.sample_rate_hz)}")
    return NO if source.damage else DONE


def send(args: argparse.Namespace, terminal: Terminal) -> int:
    """Send sound to a receiver."""
    from narrows.streaming import udp
    from narrows.streaming.channel import Channel
    from narrows.streaming.live import Sender, arrived_packets

    address = udp.parse_address(args.to)
    channel = Channel(
        loss=args.loss, burst=args.burst, delay_ms=args.delay_ms, jitter_ms=args.jitter_ms,
        duplicate=args.duplicate, seed=args.seed,
    )  # fmt: skip
    source = _source(args)
    sender = Sender(_encoder(args, source))
    simulated = bool(args.loss or args.delay_ms or args.jitter_ms or args.duplicate)
    teller = _Teller(terminal, "sender", args.json)
    channel_or_none = channel if simulated else None
    with udp.Endpoint(to=address, channel=channel_or_none) as endpoint, _first_interrupt() as stop:
        udp.send(
            sender,
            source.blocks,
            endpoint,
            endpoint.peer,
            source.sample_rate_hz,
            paced=not (args.fast or source.live),
            stop=stop.is_set,
            tick=lambda now_s: teller.tell(now_s, lambda: sender.statistics(now_s)),
        )
    final = sender.statistics(time.monotonic())
    if simulated:
        final |= {
            "simulated_datagrams": len(channel.log),
            "simulated_lost": channel.num_lost,
            "simulated_lost_packets": sender.num_packets - len(arrived_packets(channel.log)),
        }
    teller.finish(final)
    return DONE


def receive(args: argparse.Namespace, terminal: Terminal) -> int:
    """Receive streams into files."""
    from narrows.streaming import udp
    from narrows.streaming.sinks import Sinks

    if args.speaker and args.output is not None:
        raise OptionError("--speaker and -o say two things: give one")
    path = _to(args, binary=True) if args.output is not None else None
    receiver = _receiver(args)
    teller = _Teller(terminal, "receiver", args.json, data_on_stdout=path == "-")
    sinks = Sinks(path, sample=args.pcm, speaker=args.speaker, force=args.force)
    ended = []

    def closed(incoming: Any) -> None:
        sinks.close(incoming)
        ended.append(incoming)
        teller.finish(incoming.statistics(time.monotonic()))

    with udp.Endpoint(udp.parse_address(args.listen)) as endpoint, _first_interrupt() as stop:
        udp.receive(
            receiver,
            endpoint,
            opened=sinks.open,
            closed=closed,
            stop=stop.is_set,
            tick=lambda now_s: teller.tell_each(now_s, receiver),
            idle_s=args.idle_s or None,
            once=not args.keep_on,
        )
    if not ended:
        reason = f": {receiver.problem}" if receiver.problem else ""
        terminal.warn(f"nothing was received at {args.listen}{printable(reason)}")
    return DONE if ended else NO


def view(args: argparse.Namespace, terminal: Terminal) -> int:
    """Serve the page until Ctrl-C."""
    from narrows.streaming import udp
    from narrows.streaming.view import View

    receiver = _receiver(args)
    teller = _Teller(terminal, "receiver", args.json)

    def tick(now_s: float) -> None:
        page.tell(now_s, receiver)
        teller.tell_each(now_s, receiver)

    with (
        udp.Endpoint(udp.parse_address(args.listen)) as endpoint,
        View(udp.parse_address(args.http)) as page,
        _first_interrupt() as stop,
    ):
        terminal.note(f"{page.url}  plays what arrives at {args.listen}")
        udp.receive(
            receiver,
            endpoint,
            opened=page.opened,
            closed=page.closed,
            stop=stop.is_set,
            tick=tick,
            idle_s=None,
            stream_idle_s=args.idle_s or None,
        )
    return DONE


def _source(args: argparse.Namespace) -> Source:
    from narrows.streaming import pcm, sources

    fmt = pcm.Format.parse(args.pcm) if args.pcm else None
    if args.mic:
        if args.input != "-":
            raise OptionError("--mic and a file say two things: give one")
        return sources.open_microphone(fmt or pcm.Format())
    if args.input == "-" and sys.stdin.isatty():
        error = OptionError("stdin is a terminal, and the input is sound")
        error.hint = "name a file, or --mic"
        raise error
    return sources.open_source(args.input, fmt)


def _encoder(args: argparse.Namespace, source: Source) -> Any:
    import numpy as np

    import narrows
    from narrows import registry

    like = narrows.Audio(np.zeros((0, source.channels), np.float32), source.sample_rate_hz)
    name = args.codec or registry.default_codec(like)
    if name is None:
        raise OptionError("there is no codec for live sound; --codec names one")
    redundancy = getattr(args, "redundancy", None)
    chosen = {"kbps": args.kbps, "quality": args.quality, "redundancy": redundancy}
    given = {option: value for option, value in chosen.items() if value is not None}
    return narrows.encoder(name, sample_rate_hz=source.sample_rate_hz, channels=source.channels, **given)


def _receiver(args: argparse.Namespace) -> Any:
    import narrows
    from narrows.streaming.live import Receiver

    return Receiver(
        narrows.decoder, min_delay_s=args.min_delay_ms / 1000, max_delay_s=args.max_delay_ms / 1000
    )


def _to(args: argparse.Namespace, *, binary: bool) -> str:
    """The output's path, `-` for stdout, which is no terminal unless `-o -` says so."""
    if args.output is not None:
        return str(args.output)
    if binary and sys.stdout.isatty():
        error = OptionError("stdout is a terminal, and the output is binary")
        error.hint = "-o FILE, or -o - to send it there nevertheless"
        raise error
    return "-"


class _Teller:
    """Statistics: one line drawn over each second on a terminal, JSON lines if asked for, a line at the end.

    JSON goes to stdout, or to stderr where stdout has the samples.
    """

    def __init__(self, terminal: Terminal, role: str, json: bool, *, data_on_stdout: bool = False) -> None:
        self._terminal, self._role, self._json = terminal, role, json
        self._to = sys.stderr if data_on_stdout else sys.stdout
        self._next_s = float("-inf")

    def tell(self, now_s: float, make: Any) -> None:
        """Tell what `make()` returns, if a second has passed."""
        if now_s >= self._next_s:
            self._next_s = now_s + _STATISTICS_EVERY_S
            self._say(make(), final=False)

    def tell_each(self, now_s: float, receiver: Any) -> None:
        """Tell of every stream that is received, if a second has passed."""
        if now_s >= self._next_s:
            self._next_s = now_s + _STATISTICS_EVERY_S
            for incoming in receiver.streams.values():
                self._say(incoming.statistics(now_s), final=False)

    def finish(self, values: dict[str, Any]) -> None:
        """Tell the last of a stream."""
        self._say(values, final=True)
        if not self._json:
            self._terminal.note(_line(values))

    def _say(self, values: dict[str, Any], *, final: bool) -> None:
        if self._json:
            import json

            record = {"schema": "narrows.stream/1", "role": self._role, "final": final, **values}
            print(json.dumps(record), file=self._to, flush=True)
        elif not final:
            self._terminal.progress(_line(values))


def _line(values: dict[str, Any]) -> str:
    """One line for people."""
    parts = [values["session"], f"{values['packets']:,} packets", f"{values['payload_kbps']:.1f} kbit/s"]
    if "missing" in values:
        parts += [
            f"loss {100 * values['loss']:.1f} %",
            f"late {values['late']}",
            f"concealed {values['concealed_ms']:.0f} ms",
            f"delay {values['total_delay_ms']:.0f} ms = {values['frame_ms']:g} frame + "
            f"{values['lookahead_ms']:g} ahead + {values['jitter_delay_ms']:.0f} jitter + "
            f"{values['decode_ms']:.1f} decode",
            f"x{values['decode_real_time_factor']:.4f} real time",
        ]
    else:
        parts += [f"x{values['encode_real_time_factor']:.4f} real time"]
        if "simulated_lost" in values:
            lost, sent = values["simulated_lost"], values["simulated_datagrams"]
            parts += [f"{lost} of {sent} datagrams lost on purpose"]
        if "receiver_lost" in values:
            parts += [f"receiver: {values['receiver_lost']} lost, {values['receiver_late']} late"]
    return "  ".join(parts)


@contextlib.contextmanager
def _first_interrupt() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second one interrupts as ever."""
    event = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        event.set()
        signal.signal(signal.SIGINT, old)

    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    old = signal.signal(signal.SIGINT, stop)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, old)
