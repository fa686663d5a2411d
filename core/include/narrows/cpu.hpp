// Which instruction set the kernels run on: chosen once from CPUID, lowered by NARROWS_ISA or set_isa.
#pragma once

#include <string_view>
#include <vector>

namespace narrows {

enum class Isa { scalar, avx2, avx512, neon };

// Sets that this machine and build have, best last.
[[nodiscard]] std::vector<Isa> available_isas();
[[nodiscard]] Isa current_isa() noexcept;
// False if this machine lacks it; then nothing changes. For tests and benchmarks.
[[nodiscard]] bool set_isa(Isa isa) noexcept;
[[nodiscard]] std::string_view isa_name(Isa isa) noexcept;
[[nodiscard]] bool parse_isa(std::string_view name, Isa& isa) noexcept;

}  // namespace narrows
