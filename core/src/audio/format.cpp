#include "narrows/audio.hpp"

#include <algorithm>
#include <array>

#include "audio/layout.hpp"
#include "narrows/resampler.hpp"

namespace narrows {

namespace {

constexpr std::array<uint32_t, 4> kRates = {16'000, 24'000, 44'100, 48'000};
constexpr uint32_t kLeastStep = 1'536, kLargestStep = 6'656;

}  // namespace

bool AudioFormat::valid() const noexcept {
    return std::find(kRates.begin(), kRates.end(), rate_hz) != kRates.end() && packet_frames >= 1 &&
           packet_frames <= kMaxPacketFrames && step >= kLeastStep && step <= kLargestStep && gamma <= 64 && fill <= 64 && floor <= 64;
}

std::vector<uint8_t> AudioFormat::params() const {
    const auto at = std::find(kRates.begin(), kRates.end(), rate_hz) - kRates.begin();
    return {static_cast<uint8_t>(at),          static_cast<uint8_t>(packet_frames), static_cast<uint8_t>(step & 255),
            static_cast<uint8_t>(step >> 8),   static_cast<uint8_t>(varying),       static_cast<uint8_t>(gamma),
            static_cast<uint8_t>(fill),        static_cast<uint8_t>(floor)};
}

Status AudioFormat::parse(std::span<const uint8_t> params, AudioFormat& out) {
    if (params.size() != 8 || params[0] >= kRates.size() || params[4] > 1) return Status::corrupt;
    out.rate_hz = kRates[params[0]];
    out.packet_frames = params[1];
    out.step = uint32_t{params[2]} | uint32_t{params[3]} << 8;
    out.varying = params[4] != 0;
    out.gamma = params[5];
    out.fill = params[6];
    out.floor = params[7];
    return out.valid() ? Status::ok : Status::corrupt;
}

AudioTiming timing_of(const AudioFormat& format, uint32_t signal_hz) {
    const audio::Layout& layout = audio::layout_of(format.rate_hz);
    size_t reach = 0;
    if (signal_hz != format.rate_hz) {
        const size_t ahead = ResamplerTables::get(signal_hz, format.rate_hz)->reach;
        const uint64_t behind = uint64_t{ResamplerTables::get(format.rate_hz, signal_hz)->reach} * signal_hz / format.rate_hz;
        reach = ahead + static_cast<size_t>(behind);
    }
    return {format.rate_hz, format.packet_frames, layout.frame(), layout.size, reach};
}

}  // namespace narrows
