#include <vector>

#include "check.hpp"
#include "narrows/range.hpp"

using namespace narrows;

// An encoder that was moved from or finished begins a stream of its own.
static void check_used_again() {
    const auto code = [](RangeEncoder& encoder, unsigned count) {
        for (unsigned i = 0; i < count; ++i) encoder.encode(i % 7, 1, 3);
    };
    RangeEncoder first, fresh;
    code(first, 1000);
    RangeEncoder second = std::move(first);
    code(first, 100);
    code(fresh, 100);
    const std::vector<uint8_t> expected = fresh.finish();
    CHECK(first.finish() == expected);
    code(fresh, 100);
    CHECK(fresh.finish() == expected);
    code(second, 0);
    const std::vector<uint8_t> whole = second.finish();
    RangeDecoder decoder(whole);
    for (unsigned i = 0; i < 1000; ++i) {
        CHECK(decoder.target(3) == i % 7);
        decoder.take(i % 7, 1, 3);
    }
    CHECK(decoder.finished());
}

int main() {
    check_used_again();
    Random random{1};
    for (int round = 0; round < 20000; ++round) {
        const unsigned n = random.below(round % 100 == 0 ? 5000 : 60);
        struct Step { unsigned kind, a, b, bits; };
        std::vector<Step> steps(n);
        RangeEncoder encoder;
        for (Step& s : steps) {
            s.kind = random.below(3);
            if (s.kind == 0) {
                s.bits = 1 + random.below(16);
                s.a = random.below(1u << s.bits);
                s.b = 1 + random.below((1u << s.bits) - s.a);
                encoder.encode(s.a, s.b, s.bits);
            } else if (s.kind == 1) {
                s.a = random.below(2);
                s.b = 1 + random.below(65535);
                if (random.below(4) == 0) s.b = random.below(2) ? 65535 : 1;
                encoder.encode_bit(s.a, s.b);
            } else {
                s.bits = random.below(33);
                s.a = s.bits == 0 ? 0 : static_cast<unsigned>(random.next()) >> (32 - s.bits);
                encoder.encode_raw(s.a, s.bits);
            }
        }
        const auto bytes = encoder.finish();
        RangeDecoder decoder(bytes);
        for (const Step& s : steps) {
            if (s.kind == 0) {
                const unsigned t = decoder.target(s.bits);
                CHECK(t >= s.a && t < s.a + s.b);
                decoder.take(s.a, s.b, s.bits);
            } else if (s.kind == 1) {
                CHECK(decoder.decode_bit(s.b) == s.a);
            } else {
                CHECK(decoder.decode_raw(s.bits) == s.a);
            }
        }
        CHECK(decoder.finished());
    }
    return 0;
}
