#include <cmath>
#include <numeric>
#include <vector>

#include "check.hpp"
#include "narrows/log2.hpp"
#include "narrows/tables.hpp"
#include "random_tables.hpp"

using namespace narrows;

namespace {

Status made(unsigned bits, std::vector<int32_t> offset, std::vector<uint8_t> shift, std::vector<uint32_t> sizes,
            std::vector<uint32_t> frequencies) {
    std::shared_ptr<const Tables> tables;
    const char* what = "";
    const Status status = Tables::make(bits, offset, shift, sizes, frequencies, tables, what);
    CHECK((status == Status::ok) == (what[0] == '\0'));
    CHECK((status == Status::ok) == (tables != nullptr));
    return status;
}

void hostile_tables_are_refused() {
    CHECK(made(8, {0}, {0}, {3}, {1, 100, 155}) == Status::ok);
    CHECK(made(8, {0}, {0}, {3}, {0, 100, 156}) == Status::ok);
    CHECK(made(8, {0}, {0}, {1}, {256}) == Status::ok);
    CHECK(made(7, {0}, {0}, {1}, {128}) == Status::bad_argument);
    CHECK(made(17, {0}, {0}, {1}, {131072}) == Status::bad_argument);
    CHECK(made(8, {}, {}, {}, {}) == Status::bad_argument);
    CHECK(made(8, {0}, {0}, {0}, {}) == Status::bad_argument);
    CHECK(made(8, {0}, {0}, {3}, {1, 0, 255}) == Status::bad_argument);
    CHECK(made(8, {0}, {0}, {3}, {1, 100, 154}) == Status::bad_argument);
    CHECK(made(8, {0}, {0}, {3}, {1, 100, 156}) == Status::bad_argument);
    CHECK(made(8, {0}, {0}, {3}, {1, 0xFFFFFFFF, 256}) == Status::bad_argument);
    CHECK(made(8, {0}, {0}, {3}, {1, 255}) == Status::bad_argument);
    CHECK(made(8, {0}, {0}, {1000000000}, {256}) == Status::bad_argument);
    CHECK(made(8, {0, 0}, {0}, {1, 1}, {256, 256}) == Status::bad_argument);
    CHECK(made(8, {0}, {1}, {2}, {1, 255}) == Status::bad_argument);
    CHECK(made(8, {0}, {1}, {2}, {2, 254}) == Status::ok);
    CHECK(made(8, {0}, {21}, {2}, {128, 128}) == Status::bad_argument);
    CHECK(made(8, {INT32_MAX - 1}, {0}, {3}, {1, 1, 254}) == Status::ok);
    CHECK(made(8, {INT32_MAX}, {0}, {3}, {1, 1, 254}) == Status::bad_argument);
    CHECK(made(8, {INT32_MAX}, {0}, {1}, {256}) == Status::ok);
}

void apportion_is_exact_and_monotone() {
    Random random{21};
    for (int round = 0; round < 2000; ++round) {
        const unsigned bits = 3 + random.below(13);
        std::vector<uint64_t> weights(1 + random.below(std::min(1u << bits, 120u)));
        const unsigned sharp = random.below(5);
        for (auto& w : weights) {
            w = random.next() >> (random.below(2) * 32);
            for (unsigned i = 0; i < sharp; ++i) w >>= random.below(20);
            if (random.below(5) == 0) w = 0;
            if (random.below(5) == 0) w = weights[0];
        }
        weights.back() |= 1;
        std::vector<uint32_t> units(weights.size());
        CHECK(apportion(weights, bits, units) == Status::ok);
        CHECK(std::accumulate(units.begin(), units.end(), 0u) == 1u << bits);
        for (size_t i = 0; i < units.size(); ++i) {
            CHECK(units[i] >= 1);
            for (size_t j = 0; j < units.size(); ++j)
                if (weights[i] > weights[j]) CHECK(units[i] >= units[j]);
                else if (weights[i] == weights[j] && i < j) CHECK(units[i] >= units[j]);
        }
    }
    std::vector<uint32_t> units(3);
    CHECK(apportion(std::vector<uint64_t>{0, 0, 0}, 8, units) == Status::bad_argument);
    CHECK(apportion(std::vector<uint64_t>{1, 1}, 8, units) == Status::bad_argument);
    CHECK(apportion(std::vector<uint64_t>{1, 1, 1}, 1, units) == Status::bad_argument);
    CHECK(apportion(std::vector<uint64_t>{}, 8, std::span<uint32_t>{}) == Status::bad_argument);
}

void largest_tables_are_quick() {
    std::vector<uint64_t> weights(65536, 1);
    std::vector<uint32_t> units(65536);
    CHECK(apportion(weights, 16, units) == Status::ok);
    weights[0] = UINT64_MAX;
    CHECK(apportion(weights, 16, units) == Status::ok);
    CHECK(units[0] == 1);
}

void logarithms_are_close() {
    for (uint32_t v = 1; v < 70000; ++v) {
        const double exact = 256 * std::log2(v);
        CHECK(log2_256(v) <= exact + 1e-9 && log2_256(v) > exact - 2.5);
    }
    CHECK(log2_256(0xFFFFFFFF) == 31 * 256 + 255);
}

}  // namespace

int main() {
    hostile_tables_are_refused();
    apportion_is_exact_and_monotone();
    largest_tables_are_quick();
    logarithms_are_close();
    return 0;
}
