#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace narrows::wave {

// Runs `job(i)` for i in [0, n) on up to `threads` threads; which thread runs what has no effect on results.
// What a job throws (std::bad_alloc) is thrown here once all threads have ended; where the system has no more
// threads, fewer do the work.
template <class Job>
void parallel(int n, int threads, Job&& job) {
    threads = std::clamp(threads, 1, std::max(n, 1));
    if (threads == 1) {
        for (int i = 0; i < n; ++i) job(i);
        return;
    }
    std::atomic<int> next{0};
    std::exception_ptr failure;
    std::mutex failing;
    const auto run = [&] {
        try {
            for (int i; (i = next.fetch_add(1)) < n;) job(i);
        } catch (...) {
            next = n;
            const std::lock_guard lock(failing);
            failure = std::current_exception();
        }
    };
    std::vector<std::thread> pool;
    pool.reserve(static_cast<size_t>(threads) - 1);
    try {
        while (pool.size() + 1 < static_cast<size_t>(threads)) pool.emplace_back(run);
    } catch (const std::exception&) {
        // No more threads or no memory for them: those that there are do the work.
    }
    run();
    for (std::thread& t : pool) t.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace narrows::wave
