// The device's launches on the host: whole payloads by buffers of exact size, so that sanitizers see every step outside.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"
#include "narrows/crc.hpp"
#include "narrows/rans.hpp"
#include "rans/device.hpp"

namespace emulated {

using namespace narrows;

template <typename Launch>
void launch_on_host(const char* kernel, const Launch& launch) {
    std::vector<uint64_t> fields(sizeof launch / 8);
    std::memcpy(fields.data(), &launch, sizeof launch);
    CHECK(emulate(kernel, fields));
}

template <typename T>
constexpr uint64_t element() {
    return sizeof(T) == 4 ? kI32 : sizeof(T) == 2 ? (T(-1) < 0 ? kI16 : kU16) : (T(-1) < 0 ? kI8 : kU8);
}

template <typename Symbol, typename Index>
uint32_t encode(const std::vector<Symbol>& symbols, const std::vector<Index>& index, const Tables& tables,
                 const EncodeOptions& options, std::vector<uint8_t>& payload) {
    const DeviceTables made(tables, 1 << 17);
    const size_t n = symbols.size();
    const uint32_t most_256 = *std::ranges::max_element(made.entropy_256);
    const uint64_t target = uint64_t{options.chunk_bytes} * 2048;
    const uint64_t chunks = std::max<uint64_t>({1, (most_256 * n + target / 2) / target, (n + (1 << 22) - 1) >> 22});
    EncodeTensor tensor{symbols.data(), index.data(), n, element<Symbol>(), element<Index>(), 0, 0, 0};
    const size_t capacity = n * sizeof(Symbol) + chunks * kSlotBytes;
    std::vector<uint32_t> slots(capacity / 4 + 1), faults(chunks);
    std::vector<uint64_t> sizes(chunks), ends(chunks);
    std::vector<Chunk> records(chunks);
    EncodeLaunch launch{};
    launch.tables = made.view();
    launch.tensors = &tensor;
    launch.num_tensors = 1;
    launch.num_chunks = chunks;
    launch.chunk_bytes = options.chunk_bytes;
    launch.flags = (options.check ? 64 : 0) | (options.hash_index ? 16 : 0);
    launch.slots = reinterpret_cast<uint8_t*>(slots.data());
    launch.chunks = records.data();
    launch.sizes = sizes.data();
    launch.faults = faults.data();
    launch_on_host("plan", launch);
    launch_on_host("encode", launch);
    uint64_t end = 0;
    for (size_t i = 0; i < chunks; ++i) ends[i] = end += sizes[i];
    payload.assign(end, 0);
    launch.ends = ends.data();
    launch.payload = payload.data();
    launch_on_host("gather", launch);
    if (options.check) {
        const uint32_t crc = crc32c(payload);
        for (int shift = 0; shift < 32; shift += 8) payload.push_back(static_cast<uint8_t>(crc >> shift));
    }
    return *std::ranges::max_element(faults);
}

template <typename Symbol, typename Index>
Status decode(const std::vector<uint8_t>& payload, const std::vector<Index>& index, const Tables& tables, bool check,
               std::vector<Symbol>& symbols, const std::vector<uint8_t>* blob = nullptr) {
    symbols.assign(index.size(), 0);
    std::string what;
    std::vector<Chunk> chunks;
    std::vector<Entry> entries;
    Status status = read_chunks(payload, index.size(), tables, check, chunks, what);
    if (status == Status::ok && blob) status = read_entries(*blob, payload, chunks, entries, what);
    if (status != Status::ok) return status;
    const DeviceTables made(tables, 1 << 17);
    DecodeTensor tensor{symbols.data(), index.data(), element<Symbol>(), element<Index>(), 0};
    std::vector<uint32_t> segments, escapes((index.size() + 31) / 32), states(32 * chunks.size()),
        faults(chunks.size());
    for (uint32_t i = 0; i < chunks.size(); ++i)
        for (uint32_t k = 0; k <= chunks[i].num_entries; ++k) segments.insert(segments.end(), {i, k});
    DecodeLaunch launch{};
    launch.tables = made.view();
    launch.payload = payload.data();
    launch.chunks = chunks.data();
    launch.tensors = &tensor;
    launch.entries = entries.data();
    launch.escapes = escapes.data();
    launch.final_states = states.data();
    launch.faults = faults.data();
    if (blob) {
        launch.segments = segments.data();
        launch.num_segments = segments.size() / 2;
        launch_on_host("decode_split", launch);
        launch_on_host("decode_side", launch);
    } else {
        launch.num_segments = chunks.size();
        launch_on_host("decode", launch);
    }
    const uint32_t worst = *std::ranges::max_element(faults);
    CHECK(worst < kNumFaults && !fault_text(worst).empty());
    return worst == kNoFault ? Status::ok : is_callers_fault(worst) ? Status::bad_argument : Status::corrupt;
}

}  // namespace emulated
