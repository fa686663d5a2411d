#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

#include "crew.hpp"

namespace narrows::wave {

// Runs `job(i)` for i in [0, n) on up to `threads` threads; which thread runs what has no effect on results.
// What a job throws (std::bad_alloc) is thrown here once all threads have ended.
template <class Job>
void parallel(int n, int threads, Job&& job) {
    std::atomic<bool> failed{false};
    std::exception_ptr failure;
    std::mutex failing;
    const auto most = static_cast<unsigned>(std::max(threads, 1));
    Crew(most).run(static_cast<size_t>(std::max(n, 0)), most, [&](size_t i, size_t) {
        if (failed) return;
        try {
            job(static_cast<int>(i));
        } catch (...) {
            const std::lock_guard lock(failing);
            failure = std::current_exception();
            failed = true;
        }
    });
    if (failure) std::rethrow_exception(failure);
}

}  // namespace narrows::wave
