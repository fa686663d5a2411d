// Streams of entropy models, hostile: context networks, rows and mixtures. Whatever decodes must be in bounds, and
// what is then encoded must decode to itself.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "narrows/context.hpp"
#include "narrows/pointwise.hpp"

using namespace narrows;

namespace {

void require(bool truth) {
    if (!truth) std::abort();
}

// Numbers out of the input, zeros behind its end.
struct Source {
    const uint8_t* at;
    const uint8_t* end;
    uint32_t byte() { return at < end ? *at++ : 0; }
    int32_t word() { return static_cast<int32_t>(byte() | byte() << 8 | byte() << 16 | byte() << 24); }
    std::span<const uint8_t> rest() const { return {at, static_cast<size_t>(end - at)}; }
};

void context(Source in) {
    const uint32_t num_nets = 1 + in.byte() % 2, num_sides = in.byte() % 2, hidden = 1 + in.byte() % 20;
    const bool mean = in.byte() & 1;
    std::vector<ContextTap> taps;
    for (uint32_t i = in.byte() % 6; i-- > 0;)
        taps.push_back({static_cast<int8_t>(in.byte()), static_cast<int8_t>(in.byte()), static_cast<int8_t>(in.byte()), 0});
    std::vector<uint8_t> map(1 + in.byte() % 9);
    for (uint8_t& v : map) v = static_cast<uint8_t>(in.byte() & 127);
    const uint32_t num_inputs = static_cast<uint32_t>(taps.size()) + num_sides, num_outputs = 1u + mean;
    std::vector<int8_t> w1(num_nets * hidden * num_inputs), w2(num_nets * num_outputs * hidden);
    std::vector<int32_t> b1(num_nets * hidden), m1(b1.size()), b2(num_nets * num_outputs), m2(b2.size());
    for (auto* w : {&w1, &w2})
        for (int8_t& v : *w) v = static_cast<int8_t>(in.byte());
    for (auto* b : {&b1, &b2})
        for (int32_t& v : *b) v = in.word() >> 12;
    for (auto* m : {&m1, &m2})
        for (int32_t& v : *m) v = static_cast<int32_t>(in.byte());
    const ContextLayerView layers[] = {{num_inputs, hidden, w1, b1, m1, 1 + in.byte() % 20},
                                       {hidden, num_outputs, w2, b2, m2, 1 + in.byte() % 20}};
    const ContextView view{taps, num_sides, map, 1, static_cast<uint32_t>(map.size()), num_nets, layers, {3, 1}, mean};
    std::shared_ptr<const ContextModel> model;
    std::string what;
    if (ContextModel::make(view, model, what) != Status::ok) return;

    static const std::shared_ptr<const Tables> tables = [] {
        const int32_t offset[] = {-1, -4, 0};
        const uint8_t shift[] = {0, 1, 9};
        const uint32_t size[] = {4, 5, 2}, frequencies[] = {16, 80, 100, 60, 2, 64, 64, 64, 62, 128, 128};
        std::shared_ptr<const Tables> made;
        const char* why = nullptr;
        require(Tables::make(8, offset, shift, size, frequencies, made, why) == Status::ok);
        return made;
    }();
    const ContextShape shape{1 + in.byte() % 2, 1 + in.byte() % 3, 1 + in.byte() % 4, 1 + in.byte() % 70};
    std::vector<int32_t> symbols(shape.items * shape.channels * shape.height * shape.width);
    std::vector<uint8_t> sides(symbols.size() * num_sides);
    for (uint8_t& v : sides) v = static_cast<uint8_t>(in.byte() & 127);
    const bool adapts = in.byte() & 1;
    const auto with = [&](auto&& work) {
        if (!adapts) return work(*tables);
        AdaptiveTables adaptive;
        require(AdaptiveTables::make(tables, 16, 7, adaptive, what) == Status::ok);
        return work(adaptive);
    };
    (void)with([&](auto& t) { return model->decode(shape, symbols, sides, t, false, in.rest(), what); });
    std::vector<uint8_t> stream;
    require(with([&](auto& t) { return model->encode(shape, symbols, sides, t, true, stream, what); }) == Status::ok);
    std::vector<int32_t> back(symbols.size());
    require(with([&](auto& t) { return model->decode(shape, back, sides, t, true, stream, what); }) == Status::ok);
    require(back == symbols);
}

void rows(Source in) {
    const size_t size = 1 + in.byte() % 9;
    std::vector<int32_t> symbols(in.byte() % 20), back(symbols.size());
    std::vector<uint32_t> weights(symbols.size() * size);
    for (uint32_t& w : weights) w = static_cast<uint32_t>(in.word()) >> (in.byte() & 31);
    std::string what;
    if (decode_rows(symbols, weights, size, in.rest(), what) == Status::bad_argument) return;
    std::vector<uint8_t> stream;
    require(encode_rows(symbols, weights, size, stream, what) == Status::ok);
    require(decode_rows(back, weights, size, stream, what) == Status::ok);
    require(back == symbols);
}

void mixtures(Source in) {
    // Any tables that pass their check will do.
    static const std::vector<uint32_t> tail = [] {
        std::vector<uint32_t> t(DistributionTables::kTailSize);
        for (size_t i = 0; i < t.size(); ++i) t[i] = (1u << 31) / static_cast<uint32_t>(i * i + 1);
        return t;
    }();
    static const std::vector<uint32_t> exponential = [] {
        std::vector<uint32_t> t(DistributionTables::kExponentialSize);
        for (size_t i = 0; i < t.size(); ++i) t[i] = (1u << 31) - static_cast<uint32_t>(i << 20);
        return t;
    }();
    const DistributionTables tables{tail, exponential};
    const size_t k = 1 + in.byte() % 3;
    std::vector<int32_t> symbols(in.byte() % 20), back(symbols.size()), means(symbols.size() * k), scales(means.size());
    std::vector<uint16_t> weights(means.size());
    for (size_t i = 0; i < means.size(); ++i) {
        weights[i] = static_cast<uint16_t>(in.byte() << 5);
        means[i] = in.word() >> (in.byte() & 31);
        scales[i] = in.word() >> (in.byte() & 31) & 0x3FFFFFFF;
    }
    const Mixtures all{static_cast<Family>(in.byte() % 3), in.byte() % 21, k, weights, means, scales};
    std::string what;
    // Damage may end decoding before a mixture that is out of range; encoding then finds it.
    const Status decoded = decode_mixtures(tables, all, symbols, in.rest(), what);
    std::vector<uint8_t> stream;
    const Status encoded = encode_mixtures(tables, all, symbols, stream, what);
    require(encoded == Status::ok || (encoded == Status::bad_argument && decoded != Status::ok));
    if (encoded != Status::ok) return;
    require(decode_mixtures(tables, all, back, stream, what) == Status::ok);
    require(back == symbols);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const Source in{data + 1, data + size};
    switch (data[0] % 3) {
        case 0: context(in); break;
        case 1: rows(in); break;
        default: mixtures(in); break;
    }
    return 0;
}
