#include "narrows/cpu.hpp"

#include <atomic>
#include <cstdlib>

namespace narrows {
namespace {

bool has(Isa isa) noexcept {
    switch (isa) {
        case Isa::scalar:
            return true;
#if defined(__x86_64__)
        case Isa::avx2:
            // Without lzcnt its code would run as another instruction, and say nothing.
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                   __builtin_cpu_supports("lzcnt");
        case Isa::avx512:
            return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
                   has(Isa::avx2);
#endif
#if defined(__aarch64__)
        case Isa::neon:
            return true;
#endif
        default:
            return false;
    }
}

// Intel's cores close a vector port while 512-bit operations run, and a Sapphire Rapids took longer over rANS in
// AVX-512 than in AVX2: there only NARROWS_ISA chooses it. AMD's Zen 4 was faster in AVX-512.
bool pays(Isa isa) noexcept {
#if defined(__x86_64__)
    if (isa == Isa::avx512) return !__builtin_cpu_is("intel");
#endif
    (void)isa;
    return true;
}

Isa best() noexcept {
    Isa wanted;
    if (const char* name = std::getenv("NARROWS_ISA"); name && parse_isa(name, wanted) && has(wanted)) return wanted;
    for (Isa isa : {Isa::avx512, Isa::avx2, Isa::neon})
        if (has(isa) && pays(isa)) return isa;
    return Isa::scalar;
}

std::atomic<Isa>& chosen() noexcept {
    static std::atomic<Isa> isa{best()};
    return isa;
}

}  // namespace

std::vector<Isa> available_isas() {
    std::vector<Isa> all;
    for (Isa isa : {Isa::scalar, Isa::neon, Isa::avx2, Isa::avx512})
        if (has(isa)) all.push_back(isa);
    return all;
}

Isa current_isa() noexcept { return chosen().load(std::memory_order_relaxed); }

bool set_isa(Isa isa) noexcept {
    if (!has(isa)) return false;
    chosen().store(isa, std::memory_order_relaxed);
    return true;
}

std::string_view isa_name(Isa isa) noexcept {
    switch (isa) {
        case Isa::avx2: return "avx2";
        case Isa::avx512: return "avx512";
        case Isa::neon: return "neon";
        default: return "scalar";
    }
}

bool parse_isa(std::string_view name, Isa& isa) noexcept {
    for (Isa each : {Isa::scalar, Isa::avx2, Isa::avx512, Isa::neon})
        if (name == isa_name(each)) {
            isa = each;
            return true;
        }
    return false;
}

}  // namespace narrows
