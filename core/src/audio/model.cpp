#include "audio/tables.hpp"
#include "narrows/audio.hpp"

namespace narrows {

namespace audio {

uint32_t cost_of(int logit) noexcept {
    static const std::vector<uint16_t> kCosts = [] {
        std::vector<uint16_t> costs;
        for (int x = -kLogitMax; x <= kLogitMax; ++x) costs.push_back(static_cast<uint16_t>(cost_256(probability(x), 16)));
        return costs;
    }();
    return kCosts[static_cast<size_t>(std::clamp(logit, -kLogitMax, kLogitMax) + kLogitMax)];
}

}  // namespace audio

void AudioModel::sizes(size_t& coefficients, size_t& envelope, size_t& flags) noexcept {
    coefficients = audio::kCoefficientSets * audio::kCoefficientSize;
    envelope = audio::kEnvelopeSets * audio::kEnvelopeSize;
    flags = audio::kNumFlags;
}

Status AudioModel::load(const AudioWeights& weights, std::shared_ptr<const AudioModel>& out) {
    size_t coefficients = 0, envelope = 0, flags = 0;
    sizes(coefficients, envelope, flags);
    if (weights.coefficients.size() != coefficients || weights.envelope.size() != envelope || weights.flags.size() != flags)
        return Status::bad_argument;
    auto tables = std::make_shared<AudioTables>();
    tables->coefficients.assign(weights.coefficients.begin(), weights.coefficients.end());
    tables->envelope.assign(weights.envelope.begin(), weights.envelope.end());
    tables->flags.assign(weights.flags.begin(), weights.flags.end());
    auto model = std::make_shared<AudioModel>();
    model->tables = std::move(tables);
    out = std::move(model);
    return Status::ok;
}

}  // namespace narrows
