// What `code_frame` may be run with: a range encoder, a range decoder, a collector of samples.
// Each has decide(table, entries, decision, value) for a modeled bit, flag() for a single logit and raw().
#pragma once

#include <cstdint>
#include <span>

#include "audio/tables.hpp"
#include "narrows/audio.hpp"
#include "narrows/range.hpp"

namespace narrows::audio {

class Writing {
   public:
    static constexpr bool kDecodes = false, kChooses = false;
    template <size_t K>
    bool decide(const Entries<K>& entries, size_t decision, bool value) {
        encoder_.encode_bit(value, probability(entries.logit(decision)));
        return value;
    }
    template <class Row>
    NARROWS_INLINE bool decide(const Row& row, size_t decision, bool value) {
        encoder_.encode_bit(value, row.chance(decision));
        return value;
    }
    bool flag(const AudioTables& t, size_t which, bool value) {
        encoder_.encode_bit(value, probability(t.flags[which]));
        return value;
    }
    NARROWS_INLINE uint32_t raw(uint32_t value, uint32_t count) {
        encoder_.encode_raw(value, count);
        return value;
    }
    std::vector<uint8_t> finish() { return encoder_.finish(); }

   private:
    RangeEncoder encoder_;
};

class Reading {
   public:
    static constexpr bool kDecodes = true, kChooses = false;
    explicit Reading(std::span<const uint8_t> payload) : decoder_(payload) {}
    template <size_t K>
    bool decide(const Entries<K>& entries, size_t decision, bool) {
        return decoder_.decode_bit(probability(entries.logit(decision)));
    }
    template <class Row>
    NARROWS_INLINE bool decide(const Row& row, size_t decision, bool) { return decoder_.decode_bit(row.chance(decision)); }
    bool flag(const AudioTables& t, size_t which, bool) { return decoder_.decode_bit(probability(t.flags[which])); }
    NARROWS_INLINE uint32_t raw(uint32_t, uint32_t count) { return decoder_.decode_raw(count); }
    // Bytes read beyond the payload, of which an encoder's flush leaves out four at most.
    uint32_t padded() const noexcept { return decoder_.padded(); }
    size_t bytes_left() const noexcept { return decoder_.bytes_left(); }

   private:
    RangeDecoder decoder_;
};

class Sampling {
   public:
    static constexpr bool kDecodes = false, kChooses = false;
    Sampling(const AudioTables& tables, AudioSamples& samples) : tables_(&tables), samples_(&samples) {}
    template <class Row>
    bool decide(const Row& row, size_t decision, bool value) {
        for (const int16_t* at : row.entries().at)
            samples_->coefficient.push_back(static_cast<uint32_t>(at - tables_->coefficients.data() + static_cast<ptrdiff_t>(decision)));
        samples_->coefficient_bit.push_back(value);
        return value;
    }
    bool decide(const EnvelopeEntries& entries, size_t decision, bool value) {
        for (const int16_t* at : entries.at)
            samples_->envelope.push_back(static_cast<uint32_t>(at - tables_->envelope.data() + static_cast<ptrdiff_t>(decision)));
        samples_->envelope_bit.push_back(value);
        return value;
    }
    bool decide(const BandEntries& entries, size_t decision, bool value) {
        for (const int16_t* at : entries.at)
            samples_->band.push_back(static_cast<uint32_t>(at - tables_->bands.data() + static_cast<ptrdiff_t>(decision)));
        samples_->band_bit.push_back(value);
        return value;
    }
    bool flag(const AudioTables&, size_t which, bool value) {
        samples_->flag.push_back(static_cast<uint32_t>(which));
        samples_->flag_bit.push_back(value);
        return value;
    }
    uint32_t raw(uint32_t value, uint32_t) { return value; }

   private:
    const AudioTables* tables_;
    AudioSamples* samples_;
};

}  // namespace narrows::audio
