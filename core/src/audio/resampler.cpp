#include "narrows/resampler.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>
#include <utility>

#include "narrows/fixed_point.hpp"

namespace narrows {

namespace {

constexpr uint64_t kCrossings = 32;  // half the window, in samples of the lower rate
constexpr uint64_t kPoints = 256;    // samples of the kernel between two crossings
constexpr size_t kMostStored = 1 << 17;

// sinc(c t) under a 4-term Blackman-Harris window (Harris 1978) over t = 0..32, c = .97; 1/2^30 of its peak.
std::vector<int32_t> kernel() {
    std::vector<int32_t> k(kCrossings * kPoints + 2, 0);
    k[0] = 1 << kUnitBits;
    for (uint64_t i = 1; i < kCrossings * kPoints; ++i) {
        // sin(pi c t) / (pi c t), t = i / 256; 97 i / 51,200 turns.
        const int64_t sine = sin_cos(97 * i, 51'200).sin;
        const int64_t angle = static_cast<int64_t>(i) * 97 * 3'373'259'426 / 25'600;  // pi c t in 1/2^30
        const int64_t sinc = (sine << kUnitBits) / angle;
        const auto cosine = [&](uint64_t n) { return int64_t{sin_cos(n * (i + kCrossings * kPoints), 2 * kCrossings * kPoints).cos}; };
        const int64_t window = (35'875 * (int64_t{1} << kUnitBits) - 48'829 * cosine(1) + 14'128 * cosine(2) - 1'168 * cosine(3)) / 100'000;
        k[i] = static_cast<int32_t>(times_unit(sinc, static_cast<int32_t>(window)));
    }
    return k;
}

void make_phase(const ResamplerTables& t, uint64_t phase, int32_t* out) {
    static const std::vector<int32_t> kKernel = kernel();
    const uint64_t unit = std::max(t.up, t.down);
    const size_t taps = 2 * t.reach;
    int64_t sum = 0;
    std::vector<int64_t> raw(taps);
    for (size_t j = 0; j < taps; ++j) {
        // Distance of input j - reach + 1 from the output, in 1/up of an input sample.
        const int64_t at = (static_cast<int64_t>(j) - static_cast<int64_t>(t.reach) + 1) * static_cast<int64_t>(t.up) -
                           static_cast<int64_t>(phase);
        const uint64_t scaled = static_cast<uint64_t>(at < 0 ? -at : at) * kPoints;
        const uint64_t index = scaled / unit;
        if (index >= kCrossings * kPoints) continue;
        const int64_t share = static_cast<int64_t>((scaled % unit << 16) / unit);
        raw[j] = kKernel[index] + ((int64_t{kKernel[index + 1]} - kKernel[index]) * share >> 16);
        sum += raw[j];
    }
    // Exactly 1 in all, so that a constant stays one.
    int64_t rest = int64_t{1} << kUnitBits;
    for (size_t j = 0; j < taps; ++j) {
        out[j] = static_cast<int32_t>((raw[j] << kUnitBits) / sum);
        rest -= out[j];
    }
    out[t.reach - 1] = static_cast<int32_t>(out[t.reach - 1] + rest);
}

}  // namespace

const int32_t* ResamplerTables::of(uint64_t phase, std::vector<int32_t>& out) const {
    if (!all.empty()) return all.data() + phase * 2 * reach;
    out.resize(2 * reach);
    make_phase(*this, phase, out.data());
    return out.data();
}

std::shared_ptr<const ResamplerTables> ResamplerTables::get(uint32_t in_hz, uint32_t out_hz) {
    static std::mutex lock;
    static std::map<std::pair<uint32_t, uint32_t>, std::weak_ptr<const ResamplerTables>> made;
    const std::lock_guard guard(lock);
    auto& place = made[{in_hz, out_hz}];
    if (auto found = place.lock()) return found;
    auto t = std::make_shared<ResamplerTables>();
    const uint32_t common = std::gcd(in_hz, out_hz);
    t->up = out_hz / common;
    t->down = in_hz / common;
    t->reach = static_cast<size_t>((kCrossings * std::max(t->up, t->down) + t->up - 1) / t->up);
    if (t->up * 2 * t->reach <= kMostStored) {
        std::vector<int32_t> all(t->up * 2 * t->reach);
        for (uint64_t phase = 0; phase < t->up; ++phase) make_phase(*t, phase, all.data() + phase * 2 * t->reach);
        t->all = std::move(all);
    }
    place = t;
    return t;
}

Resampler::Resampler(uint32_t in_hz, uint32_t out_hz, size_t channels)
    : tables_(ResamplerTables::get(in_hz, out_hz)), channels_(channels), history_(2 * tables_->reach * channels) {}

uint64_t Resampler::outputs_of(uint64_t inputs) const noexcept {
    // Those with floor(m down / up) + reach < inputs.
    if (inputs <= tables_->reach) return 0;
    return ((inputs - tables_->reach) * tables_->up + tables_->down - 1) / tables_->down;
}

uint64_t Resampler::inputs_of(uint64_t outputs) const noexcept {
    return (outputs * tables_->down + tables_->up - 1) / tables_->up;
}

void Resampler::push(std::span<const int32_t> in, std::vector<int32_t>& out) {
    const size_t taps = 2 * tables_->reach, count = in.size() / channels_;
    work_.assign(history_.begin(), history_.end());
    work_.insert(work_.end(), in.begin(), in.end());
    // work_[0] is input `base`, counted from the start of the stream less 2 reach.
    const uint64_t base = taken_;
    taken_ += count;
    const uint64_t total = outputs_of(taken_);
    out.reserve(out.size() + (total - std::min(total, made_)) * channels_);
    for (; made_ < total; ++made_) {
        const uint64_t position = made_ * tables_->down;
        const int32_t* c = tables_->of(position % tables_->up, phase_);
        // The first tap is input floor(position) - reach + 1.
        const size_t first = static_cast<size_t>(position / tables_->up + tables_->reach + 1 - base);
        for (size_t channel = 0; channel < channels_; ++channel) {
            const int32_t* x = work_.data() + first * channels_ + channel;
            int64_t sum = int64_t{1} << (kUnitBits - 1);
            for (size_t j = 0; j < taps; ++j) sum += int64_t{c[j]} * x[j * channels_];
            out.push_back(static_cast<int32_t>(std::clamp<int64_t>(sum >> kUnitBits, -(1 << 24), 1 << 24)));
        }
    }
    history_.assign(work_.end() - static_cast<ptrdiff_t>(taps * channels_), work_.end());
}

void Resampler::finish(uint64_t total, std::vector<int32_t>& out) {
    const std::vector<int32_t> zeros(4096 * channels_);
    const size_t wanted = out.size() + static_cast<size_t>(total - std::min(total, made_)) * channels_;
    while (made_ < total) push(zeros, out);
    out.resize(std::min(out.size(), wanted));
    made_ = std::min(made_, total);
}

bool Resampler::restore(const State& state) {
    if (state.history.size() != history_.size() || state.made > outputs_of(state.taken)) return false;
    for (const int32_t x : state.history) {
        if (x < -(1 << 25) || x > 1 << 25) return false;
    }
    taken_ = state.taken;
    made_ = state.made;
    history_ = state.history;
    return true;
}

}  // namespace narrows
