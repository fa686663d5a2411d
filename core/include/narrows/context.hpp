// Autoregressive coding: a small integer network reads symbols already coded and names the table of the next one.
// Format and definition: docs/format.md, "Context networks".
//
// Symbols are [items, channels, height, width], coded in that order; items share nothing but the stream and tables
// that adapt. Each input of the network is a symbol before the current one, mapped to 0..127, or a byte of side
// information there. Layers are int8 weights on such bytes, an int32 bias, a multiplier, a rounding shift and a
// clamp to 0..127; the last has one or two outputs that name a cell of a grid of tables, and perhaps a mean.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "narrows/range_tables.hpp"
#include "narrows/status.hpp"

namespace narrows {

// A symbol relative to the current one: it comes before it if channel < 0, or channel = 0 and row < 0, or both are 0
// and column < 0. Outside the array it reads as 0. `map` names the table that maps it.
struct ContextTap {
    int32_t channel, row, column, map;
};

// Network k of [num_nets], all of one shape: weights [num_nets][outputs][inputs], the rest [num_nets][outputs].
struct ContextLayerView {
    uint32_t inputs, outputs;
    std::span<const int8_t> weights;
    std::span<const int32_t> bias, multiplier;
    uint32_t shift;
};

struct ContextView {
    std::span<const ContextTap> taps;
    uint32_t num_sides;              // inputs after the taps
    std::span<const uint8_t> maps;   // [num_maps][map_size]: symbol v is entry clamp(v + map_size / 2, 0, map_size - 1)
    uint32_t num_maps, map_size;
    uint32_t num_nets;               // channel c has network min(c, num_nets - 1)
    std::span<const ContextLayerView> layers;
    std::array<uint32_t, 2> grid;    // cells of the last layer's first and second output; 1 if there is no second
    bool mean;                       // whether its last output is the mean
};

struct ContextShape {
    size_t items, channels, height, width;
};

class ContextModel {
   public:
    static constexpr size_t kMaxInputs = 1024;
    static constexpr size_t kMaxOutputs = 1024;
    static constexpr int kMaxColumn = 64;

    // Copies, checks, and proves for each output that no sum leaves int32: 127 sum |w| + |b| times the multiplier,
    // plus half a unit of the shift, stays below 2^31.
    [[nodiscard]] static Status make(const ContextView& view, std::shared_ptr<const ContextModel>& model, std::string& what);
    // CRC32C of all of it, little endian, in the order of docs/format.md.
    uint32_t digest() const noexcept;
    uint32_t num_cells() const noexcept;
    // About what coding symbols of this shape takes in memory beside them; UINT64_MAX for more than 2^40 symbols.
    uint64_t working_bytes(const ContextShape& shape) const noexcept;

    // One range-coder stream of all symbols, then if `hash` 16 bits of the CRC32C of the indexes (and means). `sides`
    // is [num_sides][items][channels][height][width], 0..127. There are num_cells() tables, or that many a network.
    template <typename AnyTables>
    [[nodiscard]] Status encode(const ContextShape& shape, std::span<const int32_t> symbols, std::span<const uint8_t> sides,
                                AnyTables& tables, bool hash, std::vector<uint8_t>& stream, std::string& what) const;
    template <typename AnyTables>
    [[nodiscard]] Status decode(const ContextShape& shape, std::span<int32_t> symbols, std::span<const uint8_t> sides,
                                AnyTables& tables, bool hash, std::span<const uint8_t> stream, std::string& what) const;

    ~ContextModel();
    struct Held;

   private:
    explicit ContextModel(std::unique_ptr<Held> held);
    template <typename AnyTables>
    Status check(const ContextShape& shape, size_t num_symbols, std::span<const uint8_t> sides, const AnyTables& tables,
                 std::string& what) const;
    std::unique_ptr<Held> held_;
};

}  // namespace narrows
