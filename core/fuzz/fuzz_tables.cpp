// Tables and weights from bytes: refused, or sound enough to code with.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "narrows/rans.hpp"
#include "narrows/tables.hpp"
#include "../tests/check.hpp"

using namespace narrows;

namespace {

class Source {
   public:
    Source(const uint8_t* data, size_t size) : data_(data), left_(size) {}
    uint32_t number(unsigned bytes) {
        uint32_t value = 0;
        for (unsigned i = 0; i < bytes && left_; ++i, --left_) value |= uint32_t{*data_++} << (8 * i);
        return value;
    }
    size_t left() const { return left_; }

   private:
    const uint8_t* data_;
    size_t left_;
};

void use(const Tables& tables) {
    const uint32_t num = static_cast<uint32_t>(std::min<size_t>(tables.size(), 256));
    std::vector<uint8_t> index;
    std::vector<int32_t> symbols;
    for (uint32_t i = 0; i < num; ++i)
        for (int k = 0; k < 40; ++k) {
            const Table& table = tables[i];
            if (table.span() == 0 && !table.has_escape) std::abort();
            const uint64_t far = table.has_escape && k % 8 == 0 ? table.span() + 5 : k * (table.span() - 1) / 40;
            if (!table.has_escape && far >= table.span()) continue;
            index.push_back(static_cast<uint8_t>(i));
            symbols.push_back(static_cast<int32_t>(static_cast<uint32_t>(table.offset) + static_cast<uint32_t>(far)));
        }
    std::vector<uint8_t> payload;
    std::string what;
    if (encode(std::span<const int32_t>(symbols), std::span<const uint8_t>(index), tables, {}, payload, what) !=
        Status::ok)
        std::abort();
    std::vector<int32_t> back(symbols.size());
    if (decode(payload, std::span<const uint8_t>(index), tables, {}, std::span<int32_t>(back), what) != Status::ok ||
        back != symbols)
        std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Source source(data, size);
    const uint32_t mode = source.number(1);
    const uint32_t bits = source.number(1) % 20;
    if (mode & 1) {
        std::vector<uint64_t> weights;
        while (source.left() > 0 && weights.size() < 300) weights.push_back(uint64_t{source.number(4)} << (mode & 32));
        std::vector<uint32_t> units(weights.size());
        const Status status = apportion(weights, bits, units);
        if (status == Status::ok && (std::accumulate(units.begin(), units.end(), 0u) != 1u << bits ||
                                     *std::min_element(units.begin(), units.end()) == 0))
            std::abort();
        return 0;
    }
    std::vector<int32_t> offset;
    std::vector<uint8_t> shift;
    std::vector<uint32_t> sizes, frequencies;
    for (uint32_t tables = source.number(1) % 9; tables > 0; --tables) {
        offset.push_back(static_cast<int32_t>(source.number(4)));
        shift.push_back(static_cast<uint8_t>(source.number(1)));
        const uint32_t n = source.number(1);
        sizes.push_back(n == 255 ? source.number(4) : n);
        const uint32_t unit = 1u << std::min<uint32_t>(shift.back(), 7);
        uint32_t left = bits < 32 ? 1u << bits : 0;
        for (uint32_t i = 0; i < n && i < 255; ++i) {
            uint32_t f = source.number(2);
            // Most inputs would fail on their sums alone.
            if (mode & 2) f = i + 1 == n ? left : std::min<uint32_t>(left, f % (left / 2 + unit + 1) / unit * unit);
            left -= std::min(left, f);
            frequencies.push_back(f);
        }
    }
    std::shared_ptr<const Tables> tables;
    const char* what = "";
    if (Tables::make(bits, offset, shift, sizes, frequencies, tables, what) == Status::ok) use(*tables);
    return 0;
}

extern "C" size_t NarrowsFuzzSeed(unsigned number, uint8_t* data, size_t capacity) {
    if (number >= 48) return 0;
    Random random{number};
    const size_t size = std::min<size_t>(capacity, 200);
    for (size_t i = 0; i < size; ++i) data[i] = static_cast<uint8_t>(random.next());
    data[0] = static_cast<uint8_t>(number % 4 == 3 ? 1 : 2);
    data[1] = static_cast<uint8_t>(8 + number % 9);
    data[2] = 1;
    data[3] = data[4] = data[5] = data[6] = 0;
    data[7] = static_cast<uint8_t>(number % 3);
    data[8] = static_cast<uint8_t>(2 + number % 7);
    return size;
}
