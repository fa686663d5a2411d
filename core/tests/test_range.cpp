#include <vector>

#include "check.hpp"
#include "narrows/range.hpp"

using namespace narrows;

int main() {
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
