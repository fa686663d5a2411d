#include <cstdlib>

#include "audio/tables.hpp"
#include "narrows/audio.hpp"

namespace narrows {

AudioSizes AudioModel::sizes() noexcept {
    return {audio::kCoefficientSets * audio::kCoefficientSize, audio::kEnvelopeSets * audio::kEnvelopeSize,
            audio::kCoefficientSets * audio::kBandSize, audio::kNumFlags, audio::kMaxBands};
}

Status AudioModel::load(const AudioWeights& weights, std::shared_ptr<const AudioModel>& out) {
    const AudioSizes wanted = sizes();
    if (weights.coefficients.size() != wanted.coefficients || weights.envelope.size() != wanted.envelope ||
        weights.bands.size() != wanted.bands || weights.flags.size() != wanted.flags || weights.steps.size() != wanted.steps)
        return Status::bad_argument;
    for (const int16_t v : weights.coefficients) {
        if (std::abs(int{v}) > audio::kLargestEntry) return Status::bad_argument;
    }
    auto tables = std::make_shared<AudioTables>();
    tables->coefficients.assign(weights.coefficients.begin(), weights.coefficients.end());
    tables->envelope.assign(weights.envelope.begin(), weights.envelope.end());
    tables->bands.assign(weights.bands.begin(), weights.bands.end());
    tables->flags.assign(weights.flags.begin(), weights.flags.end());
    tables->steps.assign(weights.steps.begin(), weights.steps.end());
    auto model = std::make_shared<AudioModel>();
    model->tables = std::move(tables);
    out = std::move(model);
    return Status::ok;
}

}  // namespace narrows
