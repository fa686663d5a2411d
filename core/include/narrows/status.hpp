// What a core function reports. No exceptions cross the library's edge; bindings turn a Status into one.
#pragma once

namespace narrows {

enum class Status {
    ok,
    bad_argument,  // the caller's mistake: ValueError
    corrupt,       // the data lies or is damaged: CorruptStream
    truncated,     // the data ends early: TruncatedStream
    unsupported,   // a version or profile this build does not know: UnsupportedStream
    limit,         // a declared size above the caller's limit: LimitExceeded
    no_memory,     // MemoryError
};

}  // namespace narrows
