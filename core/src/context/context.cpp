#include "narrows/context.hpp"

#include <algorithm>
#include <cstring>

#include "context/interleave.hpp"
#include "context/kernels.hpp"
#include "narrows/crc.hpp"
#include "range_symbols.hpp"

namespace narrows {
namespace {

constexpr size_t kTile = 64;
constexpr size_t kMargin = ContextModel::kMaxColumn;  // of rows, so that columns outside need no test
constexpr size_t kLanes = 8;                          // outputs are padded to a multiple of these
constexpr int64_t kLimit = int64_t{1} << 31;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// One network's part of a layer, as the kernels want it.
struct Weights {
    std::vector<int8_t> weights;  // [groups][padded outputs][4]
    std::vector<int32_t> bias, multiplier;
};

struct Layer {
    size_t groups, outputs;  // words of four inputs; outputs with their padding
    uint32_t shift;
    std::vector<Weights> nets;
};

// A row that taps read: of the current channel less `channel`, of the current row less `row`.
struct Source {
    int32_t channel, row, map;
    bool operator==(const Source&) const = default;
};
struct Reader {
    size_t source;  // or which side
    int32_t column;
    bool side;
};
struct Left {
    uint32_t map;
    uint32_t distance;
};

Status refuse(std::string& what, const char* why) {
    what = why;
    return Status::bad_argument;
}

}  // namespace

struct ContextModel::Held {
    std::vector<Source> sources;
    std::vector<Reader> readers;  // inputs known before a row begins, then zeros to a multiple of four
    std::vector<Left> lefts;      // inputs in the row itself
    std::vector<uint8_t> maps;
    size_t num_maps, map_size, num_sides, num_nets;
    std::vector<Layer> layers;
    std::array<uint32_t, 2> grid;
    bool mean;
    uint32_t digest;

    size_t row_groups() const { return (readers.size() + 3) / 4; }
    size_t left_groups() const { return (lefts.size() + 3) / 4; }
    uint8_t mapped(size_t map, int32_t symbol) const {
        const int64_t at = std::clamp<int64_t>(int64_t{symbol} + static_cast<int64_t>(map_size / 2), 0,
                                               static_cast<int64_t>(map_size) - 1);
        return maps[map * map_size + static_cast<size_t>(at)];
    }
};

namespace {

using Held = ContextModel::Held;

// Rows of inputs and of one item's mapped symbols.
class Rows {
   public:
    Rows(const Held& model, const ContextShape& shape)
        : model_(model), shape_(shape), stride_(round_up(shape.width, 16) + 16), plane_(shape.height * shape.width),
          padded_((model.sources.size() + model.num_sides) * (shape.width + 2 * kMargin + 16)),
          zeros_(shape.width + 2 * kMargin + 16), groups_(stride_ * model.row_groups()),
          mapped_(model.num_maps * shape.channels * plane_), current_(model.num_maps * (shape.width + kMargin)) {}

    // What one takes, in bytes.
    static uint64_t size_bytes(const Held& model, const ContextShape& shape) {
        const uint64_t w = shape.width, wide = w + 2 * kMargin + 16;
        return (model.sources.size() + model.num_sides + 1) * wide + 4 * (round_up(w, 16) + 16) * model.row_groups() +
               model.num_maps * (shape.channels * shape.height * w + w + kMargin);
    }
    size_t stride() const { return stride_; }
    const uint32_t* groups() const { return groups_.data(); }

    // `sides` is the item's first, `step` bytes from one side to the next.
    void begin(size_t channel, size_t y, const uint8_t* sides, size_t step) {
        const size_t w = shape_.width, wide = w + 2 * kMargin + 16;
        for (size_t m = 0; m < model_.num_maps; ++m)
            std::memset(current_.data() + m * (w + kMargin), model_.mapped(m, 0), kMargin);
        for (size_t s = 0; s < model_.sources.size(); ++s) {
            const Source& source = model_.sources[s];
            uint8_t* row = padded_.data() + s * wide;
            const int64_t c = static_cast<int64_t>(channel) + source.channel, r = static_cast<int64_t>(y) + source.row;
            const size_t map = static_cast<size_t>(source.map);
            std::memset(row, model_.mapped(map, 0), wide);
            if (c >= 0 && r >= 0 && r < static_cast<int64_t>(shape_.height))
                std::memcpy(row + kMargin, plane(map, static_cast<size_t>(c), static_cast<size_t>(r)), w);
        }
        for (size_t s = 0; s < model_.num_sides; ++s)
            std::memcpy(padded_.data() + (model_.sources.size() + s) * wide + kMargin,
                        sides + s * step + (channel * shape_.height + y) * w, w);
        interleave();
    }
    void set(size_t channel, size_t y, size_t x, int32_t symbol) {
        for (size_t m = 0; m < model_.num_maps; ++m) {
            const uint8_t value = model_.mapped(m, symbol);
            current_[m * (shape_.width + kMargin) + kMargin + x] = value;
            plane(m, channel, y)[x] = value;
        }
    }
    void left(size_t x, uint32_t* groups) const {
        const uint8_t* row = current_.data() + kMargin + x;
        const Left* left = model_.lefts.data();
        const size_t full = model_.lefts.size() / 4, rest = model_.lefts.size() % 4;
        const auto read = [&](const Left& l) { return uint32_t{row[l.map * (shape_.width + kMargin) - l.distance]}; };
        for (size_t g = 0; g < full; ++g, left += 4)
            groups[g] = read(left[0]) | read(left[1]) << 8 | read(left[2]) << 16 | read(left[3]) << 24;
        if (rest) {
            groups[full] = 0;
            for (size_t k = 0; k < rest; ++k) groups[full] |= read(left[k]) << (8 * k);
        }
    }

   private:
    uint8_t* plane(size_t map, size_t channel, size_t y) {
        return mapped_.data() + (map * shape_.channels + channel) * plane_ + y * shape_.width;
    }
    // groups[g][x] = inputs 4 g to 4 g + 3 at x, the first lowest. Margins hold what is read beyond a row.
    void interleave() {
        const size_t w = shape_.width, wide = w + 2 * kMargin + 16;
        for (size_t g = 0; g < model_.row_groups(); ++g) {
            const uint8_t* in[4];
            for (size_t k = 0; k < 4; ++k) {
                in[k] = zeros_.data();
                if (4 * g + k >= model_.readers.size()) continue;
                const Reader& reader = model_.readers[4 * g + k];
                const size_t row = reader.side ? model_.sources.size() + reader.source : reader.source;
                in[k] = padded_.data() + row * wide + kMargin + reader.column;
            }
            narrows::interleave(in, w, groups_.data() + g * stride_);
        }
    }

    const Held& model_;
    const ContextShape& shape_;
    size_t stride_, plane_;
    std::vector<uint8_t> padded_, zeros_;
    std::vector<uint32_t> groups_;
    std::vector<uint8_t> mapped_, current_;
};

// Runs the network over all positions; `code(table, mean, place)` codes the symbol at `place` and gives it, or false.
template <typename Code>
bool walk(const Held& model, const ContextShape& shape, const uint8_t* sides, bool own_tables, uint32_t& hash, Code&& code) {
    const context::Kernels& kernels = context::kernels(current_isa());
    const size_t w = shape.width, item_size = shape.channels * shape.height * w;
    Rows rows(model, shape);
    const Layer& first = model.layers.front();
    const size_t row_groups = model.row_groups(), left_groups = model.left_groups();
    size_t widest = 0;
    for (const Layer& layer : model.layers) widest = std::max(widest, layer.outputs);
    std::vector<int32_t> acc(kTile * first.outputs), result(model.layers.back().outputs);
    std::vector<uint32_t> left(std::max<size_t>(left_groups, 1)), even(widest / 4), odd(widest / 4);
    std::vector<uint16_t> indexes(w);
    std::vector<int32_t> means(model.mean ? w : 0);
    const uint32_t cells = model.grid[0] * model.grid[1];
    const size_t mean_at = model.grid[1] > 1 ? 2 : 1;

    for (size_t item = 0; item < shape.items; ++item)
        for (size_t c = 0; c < shape.channels; ++c) {
            const size_t net = std::min(c, model.num_nets - 1);
            const uint32_t base = own_tables ? static_cast<uint32_t>(net) * cells : 0;
            const Weights& in = first.nets[net];
            for (size_t y = 0; y < shape.height; ++y) {
                rows.begin(c, y, model.num_sides ? sides + item * item_size : nullptr, shape.items * item_size);
                for (size_t tile = 0; tile < w; tile += kTile) {
                    const size_t count = std::min(kTile, w - tile);
                    kernels.rows(rows.groups() + tile, rows.stride(), count, row_groups, in.weights.data(), in.bias.data(),
                                 first.outputs, acc.data());
                    for (size_t i = 0; i < count; ++i) {
                        const size_t x = tile + i;
                        rows.left(x, left.data());
                        // Each layer reads the words that the one before has written.
                        const uint32_t* from = left.data();
                        uint32_t *to = even.data(), *next = odd.data();
                        for (size_t l = 0; l < model.layers.size(); ++l) {
                            const Layer& layer = model.layers[l];
                            const Weights& n = layer.nets[net];
                            const size_t skipped = l ? 0 : row_groups * layer.outputs * 4;
                            const int8_t* weights = n.weights.data() + skipped;
                            const int32_t* start = l ? n.bias.data() : acc.data() + i * layer.outputs;
                            const size_t groups = l ? layer.groups : left_groups;
                            if (l + 1 == model.layers.size()) {
                                kernels.last(from, groups, weights, start, n.multiplier.data(), layer.shift,
                                             layer.outputs, result.data());
                            } else {
                                kernels.hidden(from, groups, weights, start, n.multiplier.data(), layer.shift,
                                               layer.outputs, reinterpret_cast<uint8_t*>(to));
                                from = to;
                                std::swap(to, next);
                            }
                        }
                        const auto cell = [&](size_t k) {
                            return static_cast<uint32_t>(std::clamp(result[k], 0, static_cast<int32_t>(model.grid[k]) - 1));
                        };
                        const uint32_t table = base + (model.grid[1] > 1 ? cell(0) * model.grid[1] + cell(1) : cell(0));
                        const int32_t mean = model.mean ? std::clamp(result[mean_at], -32768, 32767) : 0;
                        indexes[x] = static_cast<uint16_t>(table);
                        if (model.mean) means[x] = mean;
                        int32_t symbol;
                        if (!code(table, mean, ((item * shape.channels + c) * shape.height + y) * w + x, symbol)) return false;
                        rows.set(c, y, x, symbol);
                    }
                }
                const auto bytes = [](const auto& v) {
                    return std::span(reinterpret_cast<const uint8_t*>(v.data()), v.size() * sizeof v[0]);
                };
                hash = crc32c(bytes(indexes), hash);
                hash = crc32c(bytes(means), hash);
            }
        }
    return true;
}

int32_t plus(int32_t a, int32_t b) { return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b)); }
int32_t minus(int32_t a, int32_t b) { return static_cast<int32_t>(static_cast<uint32_t>(a) - static_cast<uint32_t>(b)); }

uint32_t digest_of(const ContextView& v) {
    std::vector<uint8_t> canonical;
    const auto add = [&](uint32_t value) {
        for (int i = 0; i < 4; ++i) canonical.push_back(static_cast<uint8_t>(value >> (8 * i)));
    };
    const auto add_all = [&](const auto& values) {
        for (auto value : values) add(static_cast<uint32_t>(value));
    };
    add(static_cast<uint32_t>(v.taps.size()));
    for (const ContextTap& t : v.taps) add_all(std::array{t.channel, t.row, t.column, t.map});
    add_all(std::array{v.num_sides, v.num_maps, v.map_size});
    canonical.insert(canonical.end(), v.maps.begin(), v.maps.end());
    add_all(std::array{v.num_nets, static_cast<uint32_t>(v.layers.size())});
    for (const ContextLayerView& layer : v.layers) {
        add_all(std::array{layer.inputs, layer.outputs, layer.shift});
        for (int8_t weight : layer.weights) canonical.push_back(static_cast<uint8_t>(weight));
        add_all(layer.bias);
        add_all(layer.multiplier);
    }
    add_all(std::array{v.grid[0], v.grid[1], static_cast<uint32_t>(v.mean)});
    return crc32c(canonical);
}

// False for more than 2^40.
bool count_symbols(const ContextShape& shape, uint64_t& count) {
    count = 1;
    for (size_t size : {shape.items, shape.channels, shape.height, shape.width}) {
        if (size >= size_t{1} << 32 || (size && count > (uint64_t{1} << 40) / size)) return false;
        count *= size;
    }
    return true;
}

// What the kernels' comment promises, for one layer.
bool stays_in_int32(const ContextLayerView& layer, uint32_t num_nets) {
    for (size_t o = 0; o < size_t{num_nets} * layer.outputs; ++o) {
        int64_t sum = 0;
        for (size_t i = 0; i < layer.inputs; ++i) sum += std::abs(int{layer.weights[o * layer.inputs + i]});
        const int64_t most = 127 * sum + std::abs(int64_t{layer.bias[o]});
        const int64_t multiplier = layer.multiplier[o];
        if (multiplier < 0 || most >= kLimit || most * multiplier + (int64_t{1} << (layer.shift - 1)) >= kLimit) return false;
    }
    return true;
}

}  // namespace

ContextModel::ContextModel(std::unique_ptr<Held> held) : held_(std::move(held)) {}
ContextModel::~ContextModel() = default;

uint32_t ContextModel::digest() const noexcept { return held_->digest; }
uint32_t ContextModel::num_cells() const noexcept { return held_->grid[0] * held_->grid[1]; }
uint64_t ContextModel::working_bytes(const ContextShape& shape) const noexcept {
    uint64_t count;
    if (!count_symbols(shape, count)) return UINT64_MAX;
    return Rows::size_bytes(*held_, shape) + shape.width * (sizeof(uint16_t) + sizeof(int32_t));
}

Status ContextModel::make(const ContextView& view, std::shared_ptr<const ContextModel>& model, std::string& what) {
    const size_t num_inputs = view.taps.size() + view.num_sides;
    if (view.num_sides > kMaxInputs || num_inputs == 0 || num_inputs > kMaxInputs)
        return refuse(what, "a context network has 1 to 1,024 inputs");
    if (view.num_maps < 1 || view.num_maps > 4 || view.map_size < 1 || view.map_size > 65536 ||
        view.maps.size() != size_t{view.num_maps} * view.map_size)
        return refuse(what, "there are 1 to 4 maps of 1 to 65,536 entries");
    if (std::any_of(view.maps.begin(), view.maps.end(), [](uint8_t v) { return v > 127; }))
        return refuse(what, "a map gives 0 to 127");
    if (view.num_nets < 1 || view.num_nets > 1024) return refuse(what, "there are 1 to 1,024 networks");
    if (view.layers.empty() || view.layers.size() > 8) return refuse(what, "a network has 1 to 8 layers");
    const uint64_t cells = uint64_t{view.grid[0]} * view.grid[1];
    if (cells < 1 || cells > 65536) return refuse(what, "a grid has 1 to 65,536 cells");
    auto held = std::make_unique<Held>();
    std::vector<size_t> order, lefts;  // of the first layer's inputs: those of other rows, padding, those of this row
    for (size_t i = 0; i < view.taps.size(); ++i) {
        const ContextTap& t = view.taps[i];
        if (t.map < 0 || static_cast<uint32_t>(t.map) >= view.num_maps) return refuse(what, "a tap names no map");
        if (std::abs(int64_t{t.column}) > kMaxColumn || std::abs(int64_t{t.row}) > 32767 || std::abs(int64_t{t.channel}) > 32767)
            return refuse(what, "a tap is more than 64 columns or 32,767 rows or channels away");
        if (t.channel > 0 || (t.channel == 0 && (t.row > 0 || (t.row == 0 && t.column >= 0))))
            return refuse(what, "a tap reads what has yet to be decoded: channel, row, column must come before");
        if (t.channel == 0 && t.row == 0) {
            held->lefts.push_back({static_cast<uint32_t>(t.map), static_cast<uint32_t>(-t.column)});
            lefts.push_back(i);
            continue;
        }
        const Source source{t.channel, t.row, t.map};
        const auto at = std::find(held->sources.begin(), held->sources.end(), source);
        held->readers.push_back({static_cast<size_t>(at - held->sources.begin()), t.column, false});
        if (at == held->sources.end()) held->sources.push_back(source);
        order.push_back(i);
    }
    for (size_t s = 0; s < view.num_sides; ++s) {
        held->readers.push_back({s, 0, true});
        order.push_back(view.taps.size() + s);
    }
    order.resize(round_up(order.size(), 4), SIZE_MAX);
    order.insert(order.end(), lefts.begin(), lefts.end());

    size_t inputs = num_inputs;
    for (size_t l = 0; l < view.layers.size(); ++l) {
        const ContextLayerView& from = view.layers[l];
        const size_t n = size_t{view.num_nets} * from.outputs;
        const bool last = l + 1 == view.layers.size();
        if (from.inputs != inputs || from.outputs < 1 || from.outputs > kMaxOutputs || from.weights.size() != n * inputs ||
            from.bias.size() != n || from.multiplier.size() != n)
            return refuse(what, "a layer's arrays are of another shape than the layer before it asks for");
        if (last && from.outputs != 1u + (view.grid[1] > 1) + view.mean)
            return refuse(what, "the last layer has an output for each side of the grid, and one for the mean");
        if (from.shift < 1 || from.shift > 30) return refuse(what, "a shift is 1 to 30");
        if (!stays_in_int32(from, view.num_nets))
            return refuse(what, "a sum may leave int32: 127 sum |w| + |b|, times the multiplier, must stay below 2^31");
        if (l) {
            order.resize(inputs);
            for (size_t i = 0; i < inputs; ++i) order[i] = i;
        }
        Layer layer{(order.size() + 3) / 4, round_up(from.outputs, kLanes), from.shift, {}};
        for (size_t k = 0; k < view.num_nets; ++k) {
            Weights to{std::vector<int8_t>(layer.groups * layer.outputs * 4), std::vector<int32_t>(layer.outputs),
                       std::vector<int32_t>(layer.outputs)};
            for (size_t o = 0; o < from.outputs; ++o) {
                to.bias[o] = from.bias[k * from.outputs + o];
                to.multiplier[o] = from.multiplier[k * from.outputs + o];
                for (size_t i = 0; i < order.size(); ++i)
                    if (order[i] != SIZE_MAX)
                        to.weights[(i / 4 * layer.outputs + o) * 4 + i % 4] =
                            from.weights[(k * from.outputs + o) * inputs + order[i]];
            }
            layer.nets.push_back(std::move(to));
        }
        held->layers.push_back(std::move(layer));
        inputs = from.outputs;
    }
    held->maps.assign(view.maps.begin(), view.maps.end());
    held->num_maps = view.num_maps;
    held->map_size = view.map_size;
    held->num_sides = view.num_sides;
    held->num_nets = view.num_nets;
    held->grid = view.grid;
    held->mean = view.mean;
    held->digest = digest_of(view);
    model = std::shared_ptr<const ContextModel>(new ContextModel(std::move(held)));
    return Status::ok;
}

template <typename AnyTables>
Status ContextModel::check(const ContextShape& shape, size_t num_symbols, std::span<const uint8_t> sides,
                           const AnyTables& tables, std::string& what) const {
    uint64_t count;
    if (!count_symbols(shape, count)) return refuse(what, "too many symbols");
    if (count != num_symbols) return refuse(what, "symbols and shape differ in size");
    if (sides.size() != count * held_->num_sides) return refuse(what, "sides are one byte for each side and symbol");
    if (std::any_of(sides.begin(), sides.end(), [](uint8_t v) { return v > 127; }))
        return refuse(what, "a side holds 0 to 127");
    const size_t n = fixed(tables).size();
    if (n != num_cells() && n != num_cells() * held_->num_nets)
        return refuse(what, "there must be a table for each cell of the grid, or of each network's");
    return Status::ok;
}

template <typename AnyTables>
Status ContextModel::encode(const ContextShape& shape, std::span<const int32_t> symbols, std::span<const uint8_t> sides,
                            AnyTables& tables, bool hash, std::vector<uint8_t>& stream, std::string& what) const {
    if (Status status = check(shape, symbols.size(), sides, tables, what); status != Status::ok) return status;
    RangeEncoder encoder;
    uint32_t crc = 0;
    if (!symbols.empty()) {
        const auto code = [&](uint32_t table, int32_t mean, size_t place, int32_t& symbol) {
            symbol = symbols[place];
            return put_symbol(encoder, tables, table, minus(symbol, mean));
        };
        if (!walk(*held_, shape, sides.data(), fixed(tables).size() != num_cells(), crc, code))
            return refuse(what, "a symbol lies outside a table without an escape");
    }
    if (hash) encoder.encode_raw(crc & 0xFFFF, 16);
    stream = encoder.finish();
    return Status::ok;
}

template <typename AnyTables>
Status ContextModel::decode(const ContextShape& shape, std::span<int32_t> symbols, std::span<const uint8_t> sides,
                            AnyTables& tables, bool hash, std::span<const uint8_t> stream, std::string& what) const {
    if (Status status = check(shape, symbols.size(), sides, tables, what); status != Status::ok) return status;
    RangeDecoder decoder(stream);
    uint32_t crc = 0;
    if (!symbols.empty()) {
        auto&& search = for_decoding(tables, symbols.size());
        const auto code = [&](uint32_t table, int32_t mean, size_t place, int32_t& symbol) {
            if (!get_symbol(decoder, search, table, symbol) || decoder.padded() > 4) return false;
            symbols[place] = symbol = plus(symbol, mean);
            return true;
        };
        if (!walk(*held_, shape, sides.data(), fixed(tables).size() != num_cells(), crc, code)) {
            what = decoder.padded() > 4 ? "the stream ends early" : "an escape is damaged";
            return decoder.padded() > 4 ? Status::truncated : Status::corrupt;
        }
    }
    if (hash && decoder.decode_raw(16) != (crc & 0xFFFF)) {
        what = "indexes differ: your model computed other indexes or means than the encoder's";
        return Status::corrupt;
    }
    if (!decoder.finished()) {
        what = decoder.padded() > 4 ? "the stream ends early" : "bytes are left over";
        return decoder.padded() > 4 ? Status::truncated : Status::corrupt;
    }
    return Status::ok;
}

#define NARROWS_CONTEXT(AnyTables)                                                                                      \
    template Status ContextModel::encode(const ContextShape&, std::span<const int32_t>, std::span<const uint8_t>,       \
                                         AnyTables&, bool, std::vector<uint8_t>&, std::string&) const;                  \
    template Status ContextModel::decode(const ContextShape&, std::span<int32_t>, std::span<const uint8_t>, AnyTables&, \
                                         bool, std::span<const uint8_t>, std::string&) const;
NARROWS_CONTEXT(const Tables)
NARROWS_CONTEXT(AdaptiveTables)
#undef NARROWS_CONTEXT

}  // namespace narrows
