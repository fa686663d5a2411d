"""Streams in words: one line for people, one object for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from narrows.cli.terminal import plural

if TYPE_CHECKING:
    from narrows.api import Info

_COLORS = ("profile in ICC", "sRGB", "linear")


def size(info: Info) -> str:
    """Return what there is of the signal: `768x512`, `3.20 s`, `24,603 bytes`."""
    dims = info.dims
    match info.media:
        case "bytes":
            return plural(dims["size"], "byte")
        case "image" | "video":
            return f"{dims['width']}x{dims['height']}"
        case "audio":
            return f"{dims['num_samples'] / dims['sample_rate_hz']:.2f} s"
        case "vectors":
            return f"{dims['num_vectors']:,}x{dims['dim']}"
        case "tokens":
            return f"{dims['num_codebooks']}x{dims['num_steps']:,} tokens"
    return plural(dims["num_cells"], "cell")


def rate(info: Info) -> str:
    """Return the cost in the medium's own unit: bits per pixel, kbit/s, percent of the bytes."""
    dims, bits = info.dims, info.num_bytes * 8
    match info.media:
        case "image":
            return f"{bits / (dims['width'] * dims['height']):.3f} bpp"
        case "audio" if dims["num_samples"]:
            return f"{bits * dims['sample_rate_hz'] / dims['num_samples'] / 1000:.1f} kbps"
        case "bytes" if dims["size"]:
            return f"{100 * info.num_bytes / dims['size']:.1f} %"
    return ""


def line(info: Info) -> str:
    """Return `image 768x512x3 8-bit sRGB   codec wave/1   model wave-3f2a9c417be05d10 ...`."""
    dims = info.dims
    what = f"{info.media} {size(info)}"
    if info.media == "image":
        what += f"x{dims['channels']} {dims['bit_depth']}-bit {_COLORS[dims['color']]}"
    elif info.media == "audio":
        what += f" {dims['sample_rate_hz']:,} Hz {plural(dims['channels'], 'channel')}"
    parts = [what, f"codec {info.codec}/{info.version}"]
    if info.model:
        parts.append(f"model {info.codec}-{info.model}")
    if info.num_layers > 1:
        parts.append(f"{info.num_layers} layers (1/{1 << (info.num_layers - 1)} ... 1)")
    if info.num_tracks > 1:
        parts.append(f"{info.num_tracks} tracks")
    parts += [f"{name} {plural(count, 'byte')}" for name, count in info.metadata.items()]
    if info.has_gps:
        parts.append("GPS position in exif")
    parts += [name for name in ("live", "indexed") if getattr(info, name)]
    if info.num_bytes:
        parts.append(" ".join(filter(None, (plural(info.num_bytes, "byte"), rate(info)))))
    return "   ".join(parts)


def fields(info: Info) -> dict[str, Any]:
    """Return what `info --json` prints; sizes carry their unit."""
    return {
        "medium": info.media,
        "codec": info.codec,
        "codec_version": info.version,
        "model": info.model or None,
        "dims": dict(info.dims),
        "num_bytes": info.num_bytes,
        "params_bytes": info.params_bytes,
        "metadata_bytes": dict(info.metadata),
        "has_gps": info.has_gps,
        "num_layers": info.num_layers,
        "num_tracks": info.num_tracks,
        "num_chunks": len(info.chunks),
        "live": info.live,
        "indexed": info.indexed,
    }
