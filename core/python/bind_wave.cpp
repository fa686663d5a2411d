#include "bind.hpp"

void bind_wave(nb::module_& m) { (void)m; }
