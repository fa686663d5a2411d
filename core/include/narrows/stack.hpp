// A stack of symbols: rANS of one lane that gives back last what came first, for bits-back coding (Townsend et al.
// 2019, arXiv 1901.04866). Format: docs/format.md, "Stacks".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "narrows/rans.hpp"
#include "narrows/status.hpp"
#include "narrows/tables.hpp"

namespace narrows {

class Stack {
   public:
    static constexpr uint64_t kLow = uint64_t{1} << 32;  // a state lies in [2^32, 2^64)

    // Pushes the last symbol first, so that `pop` with the same index gives the same array. Every int32 survives
    // where the table has an escape. bad_argument, with `what` and nothing pushed, if lengths differ, an index
    // names no table, or a symbol lies outside a table without an escape.
    [[nodiscard]] Status push(std::span<const int32_t> symbols, const Indexes& index, const Tables& tables,
                              std::string& what);
    // Whatever the bits, `push` of what they gave restores them. truncated, with nothing popped, if the stack does not
    // hold enough.
    [[nodiscard]] Status pop(std::span<int32_t> symbols, const Indexes& index, const Tables& tables,
                             std::string& what);

    uint64_t state() const noexcept { return state_; }
    std::span<const uint32_t> words() const noexcept { return words_; }

    // bad_argument unless the state is one that a stack can have.
    [[nodiscard]] Status set(uint64_t state, std::vector<uint32_t> words);

   private:
    uint64_t state_ = kLow;
    std::vector<uint32_t> words_;  // the bottom first
};

}  // namespace narrows
