// Threads of one call that works in phases.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace narrows {

// The calling thread and those that it hires, at the first phase that wants them; the destructor dismisses them. A
// phase waits for nobody who has not begun: where threads start late, or the system has no more of them, those that
// are there do the work.
class Crew {
 public:
    static constexpr size_t kMost = 256;

    explicit Crew(unsigned threads) : most_(std::clamp<size_t>(threads, 1, kMost)) {}
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;
    ~Crew() {
        {
            const std::lock_guard lock(mutex_);
            over_ = true;
            phase_.fetch_add(1);
        }
        begin_.notify_all();
        for (std::thread& thread : hired_) thread.join();
    }

    size_t most() const noexcept { return most_; }

    // Calls work(i, worker) for i from 0 to n - 1; `worker` is below most() and `workers`. work must not throw.
    template <typename Work>
    void run(size_t n, size_t workers, Work work) {
        workers = std::min({workers, n, most_});
        if (workers <= 1) {
            for (size_t i = 0; i < n; ++i) work(i, 0);
            return;
        }
        std::atomic<size_t> next{0};
        const auto share = [&](size_t worker) {
            if (worker >= workers) return;
            for (size_t i; (i = next.fetch_add(1)) < n;) work(i, worker);
        };
        hire(workers - 1);
        {
            const std::lock_guard lock(mutex_);
            task_ = std::ref(share);
            open_ = true;
            phase_.fetch_add(1);
        }
        begin_.notify_all();
        share(0);
        std::unique_lock lock(mutex_);
        open_ = false;
        end_.wait(lock, [this] { return working_ == 0; });
    }

 private:
    void hire(size_t count) {
        try {
            hired_.reserve(most_ - 1);
            while (hired_.size() < count)
                hired_.emplace_back([this, worker = hired_.size() + 1] { serve(worker); });
        } catch (const std::exception&) {
            // No more threads or no memory for them.
        }
    }

    void serve(size_t worker) {
        std::unique_lock lock(mutex_);
        for (uint32_t seen = 0;;) {
            begin_.wait(lock, [&] { return over_ || (open_ && phase_.load() != seen); });
            if (over_) return;
            seen = phase_.load();
            ++working_;
            lock.unlock();
            task_(worker);
            lock.lock();
            if (--working_ == 0) end_.notify_one();
            lock.unlock();
            // The next phase begins soon, and a thread that sleeps may wake late.
            for (int i = 0; i < kYields && phase_.load() == seen; ++i) std::this_thread::yield();
            lock.lock();
        }
    }

    static constexpr int kYields = 200;
    const size_t most_;
    std::vector<std::thread> hired_;
    std::mutex mutex_;  // guards what follows
    std::condition_variable begin_, end_;
    std::function<void(size_t)> task_;
    size_t working_ = 0;
    bool open_ = false;  // to who comes late
    bool over_ = false;
    std::atomic<uint32_t> phase_{0};  // also read without the mutex
};

}  // namespace narrows
