// Shared by the binding files: one function a module of the core, and how a Status becomes an exception.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <span>
#include <vector>

#include "narrows/status.hpp"

namespace nb = nanobind;

void bind_basics(nb::module_& m);
void bind_rans(nb::module_& m);
void bind_device(nb::module_& m);
void bind_compressai(nb::module_& m);
void bind_intervals(nb::module_& m);
void bind_range(nb::module_& m);
void bind_png(nb::module_& m);
void bind_mixing(nb::module_& m);
void bind_graphics(nb::module_& m);
void bind_wave(nb::module_& m);
void bind_models(nb::module_& m);
void bind_stack(nb::module_& m);
void bind_audio(nb::module_& m);

// Throws the class of narrows.errors that `status` stands for, with `what` as its sentence.
void raise_unless_ok(narrows::Status status, const char* what);

inline std::span<const uint8_t> view(const nb::bytes& b) {
    return {reinterpret_cast<const uint8_t*>(b.c_str()), b.size()};
}
inline nb::bytes to_bytes(const std::vector<uint8_t>& v) {
    return nb::bytes(reinterpret_cast<const char*>(v.data()), v.size());
}
