#include "narrows/bytes.hpp"

#include <bit>
#include <memory>

#include "narrows/mixing.hpp"
#include "narrows/range.hpp"

namespace narrows {
namespace {

// The inputs of the mixer, in order: contexts of the bytes before, then the match.
enum Input : size_t { kOrder1, kOrder2, kOrder3, kOrder4, kOrder6, kWord, kWordPair, kMatch, kInputs };
constexpr size_t kContexts = kMatch;
constexpr uint32_t kMinMatch = 6;

// 16 bytes of table a byte of block: less evicts what would be needed, more is not used.
uint32_t table_bits(size_t block_bytes) {
    return std::clamp<uint32_t>(static_cast<uint32_t>(std::bit_width(block_bytes)) + 4, 16, 24);
}

// Predicts the bits of one block, most significant first, from all bits before.
class ByteModel {
   public:
    // `history` is the block: what has been coded, or decoded, of it so far is read, and nothing behind it.
    ByteModel(const uint8_t* history, size_t size)
        : history_(history),
          slots_(table_bits(size)),
          order1_(65536),
          positions_(size_t{1} << (table_bits(size) - 6)),
          by_partial_(3 * 256, 3500),
          by_byte_(8 * 256, 3500),
          refine_(3 * 256) {
        for (AdaptiveProbability& p : match_map_) p = AdaptiveProbability(60000);
        begin_byte();
        predict();
    }

    uint32_t p1() const noexcept { return p1_; }

    void update(uint32_t bit) noexcept {
        learn(bit);
        partial_ = partial_ << 1 | bit;
        ++bit_;
        if (bit_ == 8) {
            end_byte(partial_ & 255);
            begin_byte();
        } else if (bit_ == 4) {
            begin_nibble();
        } else {
            node_ = 2 * node_ + 1 + bit;
        }
        predict();
    }

   private:
    void predict() noexcept {
        for (size_t i = 0; i < kContexts; ++i) {
            states_[i] = i == kOrder1 ? order1_at_ + partial_ : found_[i] + node_;
            guesses_[i] = &maps_[i][*states_[i]];
            inputs_[i] = static_cast<int16_t>(stretch(guesses_[i]->p1()));
        }
        size_t confidence = 0;
        expected_ = 0;
        inputs_[kMatch] = 0;
        if (match_length_ > 0) {
            // The byte that followed the match, if it agrees so far.
            const uint32_t byte = history_[match_at_] | 256u;
            if (byte >> (8 - bit_) == partial_) {
                expected_ = 1 + (byte >> (7 - bit_) & 1);
                const int x = stretch(match_map_[match_bucket_].p1());
                inputs_[kMatch] = static_cast<int16_t>(expected_ == 2 ? x : -x);
                confidence = match_length_ < 24 ? 1 : 2;
            } else {
                match_length_ = 0;
            }
        }
        const int a = by_partial_.mix(inputs_, confidence * 256 + partial_);
        const int b = by_byte_.mix(inputs_, bit_ * 256 + last1_);
        mixed_ = (a + b) >> 1;
        p1_ = coder_probability((squash(mixed_) + refine_.refine(mixed_, confidence << 8 | partial_)) >> 1);
    }

    void learn(uint32_t bit) noexcept {
        // Small blocks cannot wait for the weights.
        const bool early = at_ < 8192;
        by_partial_.update(inputs_, bit, early ? 15 : 6);
        by_byte_.update(inputs_, bit, early ? 15 : 6);
        refine_.update(bit, early ? 5 : 6);
        for (size_t i = 0; i < kContexts; ++i) {
            guesses_[i]->update(bit, 255);
            uint8_t& state = *states_[i];
            state = kHistory.next[state][bit];
        }
        if (expected_) match_map_[match_bucket_].update(expected_ - 1 == bit, 1023);
    }

    void end_byte(uint32_t byte) noexcept {
        ++at_;
        if (match_length_ > 0) {
            ++match_at_;
            match_length_ += match_length_ < 65535;
        }
        const bool letter = (byte | 32) - 'a' < 26 || byte >= 128;
        if (letter) {
            word_ = mix_hash(word_, byte >= 128 ? byte : byte | 32);
        } else if (word_ != 0) {
            previous_word_ = word_;
            word_ = 0;
        }
        last7_ = last7_ << 8 | byte;
        last1_ = byte;
    }

    void begin_byte() noexcept {
        partial_ = 1;
        bit_ = 0;
        order1_at_ = &order1_[last1_ << 8];
        const uint32_t low = static_cast<uint32_t>(last7_), high = static_cast<uint32_t>(last7_ >> 32);
        base_[kOrder2] = mix_hash(low & 0xFFFF, 2);
        base_[kOrder3] = mix_hash(low & 0xFFFFFF, 3);
        base_[kOrder4] = mix_hash(low, 4);
        base_[kOrder6] = mix_hash(low, 6 + ((high & 0xFFFF) << 8));
        base_[kWord] = mix_hash(word_, 7 + (last1_ << 8));
        base_[kWordPair] = mix_hash(word_ ^ previous_word_ * 0x2545F491u, 8 + (last1_ << 8));
        find_match(base_[kOrder6]);
        begin_nibble();
    }

    void begin_nibble() noexcept {
        node_ = 0;
        // The second nibble's slots lie in the 16 lines around the first's: one page, one miss of the TLB.
        const uint32_t near = bit_ == 0 ? 0 : partial_;
        for (size_t i = 1; i < kContexts; ++i) slots_.prefetch(base_[i], near);
        for (size_t i = 1; i < kContexts; ++i) found_[i] = slots_.find(base_[i], near);
    }

    void find_match(uint32_t hash) noexcept {
        if (at_ < kMinMatch) return;
        uint32_t& position = positions_[hash >> (32 - std::bit_width(positions_.size() - 1))];
        if (match_length_ == 0 && position > 0) {
            match_at_ = position;
            while (match_length_ < 400 && match_length_ < match_at_ &&
                   history_[match_at_ - 1 - match_length_] == history_[at_ - 1 - match_length_])
                ++match_length_;
            if (match_length_ < kMinMatch) match_length_ = 0;
        }
        position = at_;
        const uint32_t n = match_length_;
        match_bucket_ = n < 32 ? n : std::min(32 + (n - 32) / 16, 63u);
    }

    const uint8_t* history_;
    uint32_t at_ = 0;
    uint32_t partial_ = 1, bit_ = 0, node_ = 0;
    uint64_t last7_ = 0;
    uint32_t last1_ = 0, word_ = 0, previous_word_ = 0;

    SlotTable slots_;
    std::vector<uint8_t> order1_;
    uint8_t* order1_at_ = nullptr;
    std::array<uint32_t, kContexts> base_{};
    std::array<uint8_t*, kContexts> found_{}, states_{};
    std::array<AdaptiveProbability*, kContexts> guesses_{};
    std::array<HistoryMap, kContexts> maps_;

    std::vector<uint32_t> positions_;
    std::array<AdaptiveProbability, 64> match_map_;
    uint32_t match_at_ = 0, match_length_ = 0, match_bucket_ = 0, expected_ = 0;

    Mixer<kInputs> by_partial_, by_byte_;
    Mixer<kInputs>::Inputs inputs_{};
    Refiner refine_;
    int mixed_ = 0;
    uint32_t p1_ = 32768;
};

}  // namespace

Status bytes_encode(std::span<const uint8_t> block, std::vector<uint8_t>& payload) {
    if (block.size() > kMaxBlockBytes) return Status::bad_argument;
    payload.assign(1, kBytesStored);
    // The model is as large as a small block is: not for a handful of bytes, which it cannot shorten.
    if (block.size() >= 8) {
        const auto model = std::make_unique<ByteModel>(block.data(), block.size());
        RangeEncoder encoder;
        for (const uint8_t byte : block) {
            for (int i = 7; i >= 0; --i) {
                const uint32_t bit = byte >> i & 1u;
                encoder.encode_bit(bit, model->p1());
                model->update(bit);
            }
            if (encoder.bytes_so_far() >= block.size()) break;
        }
        const std::vector<uint8_t> mixed = encoder.finish();
        if (mixed.size() < block.size()) {
            payload[0] = kBytesMixed;
            payload.insert(payload.end(), mixed.begin(), mixed.end());
            return Status::ok;
        }
    }
    payload.insert(payload.end(), block.begin(), block.end());
    return Status::ok;
}

Status bytes_decode(std::span<const uint8_t> payload, std::span<uint8_t> block) {
    if (block.size() > kMaxBlockBytes) return Status::bad_argument;
    if (payload.empty()) return Status::truncated;
    const uint8_t mode = payload[0];
    payload = payload.subspan(1);
    if (mode == kBytesStored) {
        if (payload.size() != block.size()) return payload.size() < block.size() ? Status::truncated : Status::corrupt;
        std::copy(payload.begin(), payload.end(), block.begin());
        return Status::ok;
    }
    if (mode != kBytesMixed || block.size() < 8 || payload.size() >= block.size()) return Status::corrupt;
    const auto model = std::make_unique<ByteModel>(block.data(), block.size());
    RangeDecoder decoder(payload);
    for (uint8_t& byte : block) {
        uint32_t value = 0;
        for (int i = 0; i < 8; ++i) {
            const uint32_t bit = decoder.decode_bit(model->p1());
            value = value << 1 | bit;
            // The model reads the block up to the byte before the next one, so store before it moves on.
            if (i == 7) byte = static_cast<uint8_t>(value);
            model->update(bit);
        }
        if (decoder.padded() > 4) return Status::truncated;
    }
    return decoder.finished() ? Status::ok : Status::corrupt;
}

}  // namespace narrows
