#pragma once

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace narrows::wave {

// Runs `job(i)` for i in [0, n) on up to `threads` threads; which thread runs what has no effect on results.
template <class Job>
void parallel(int n, int threads, Job&& job) {
    threads = std::clamp(threads, 1, std::max(n, 1));
    if (threads == 1) {
        for (int i = 0; i < n; ++i) job(i);
        return;
    }
    std::atomic<int> next{0};
    const auto run = [&] {
        for (int i; (i = next.fetch_add(1)) < n;) job(i);
    };
    std::vector<std::thread> pool;
    for (int t = 1; t < threads; ++t) pool.emplace_back(run);
    run();
    for (std::thread& t : pool) t.join();
}

}  // namespace narrows::wave
